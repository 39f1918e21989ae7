import { setTimeout as delay } from 'node:timers/promises'
import { startBrokerProcess, type BrokerProcess } from './broker-process.ts'
import type { Proxy } from './proxy.ts'

/** Where a broker dies: at which packet that it sends, before or after that one arrives. */
export interface Cut {
  readonly packet: number
  readonly delivered: boolean
}

export function cuts(packets: number): Cut[] {
  return Array.from({ length: packets }, (_, index) =>
    [false, true].map((delivered) => ({ packet: index + 1, delivered })),
  ).flat()
}

/** Starts a broker, uses it, and kills it at a packet on this wire. Answers what `use` answers. */
export async function killAt<T>(
  configFile: string,
  proxy: Proxy,
  { packet, delivered }: Cut,
  use: (broker: BrokerProcess) => Promise<T>,
): Promise<T> {
  await using broker = await startBrokerProcess(configFile)
  // Past the first round of the reaper, whose packets are not what this is about.
  await delay(250)
  let packets = 0
  proxy.onPacket = (_data, isDelivered) => {
    if (isDelivered) return
    packets += 1
    if (packets < packet) return
    proxy.onPacket = undefined
    if (delivered) setImmediate(() => broker.process.kill('SIGKILL'))
    else {
      proxy.mode = 'stall'
      broker.process.kill('SIGKILL')
    }
  }
  const result = await use(broker)
  proxy.onPacket = undefined
  await broker.kill('SIGKILL')
  proxy.cut()
  proxy.mode = 'pass'
  return result
}
