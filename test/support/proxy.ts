import { createServer, connect as connectTcp, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'

/** A TCP proxy on the wire between a broker and a server: it can stall, refuse, cut, and act at any packet. */
export interface Proxy extends AsyncDisposable {
  /** The URL with this proxy in place of the server. */
  through(url: string): string
  /** `pass`: as if it were not there. `stall`: accepts and holds everything back. `refuse`: closes at once. */
  mode: 'pass' | 'stall' | 'refuse'
  /** Packets from the client for which it answers true wait until it is taken away. */
  holdBack: ((data: Buffer) => boolean) | undefined
  /** How many packets wait. */
  readonly heldBack: number
  /** Passes on what was held back, and ends every connection before an answer comes back. */
  deliverAndCut(): void
  /** Called for every packet from the client before (`false`) and after (`true`) it is passed on. */
  onPacket: ((data: Buffer, delivered: boolean) => void) | undefined
  /** Ends every connection that is open. */
  cut(): void
}

export async function startProxy(target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target)
  const open = new Set<Socket>()
  const waiting: (() => void)[] = []
  let mode: Proxy['mode'] = 'pass'
  let holdBack: Proxy['holdBack']

  const server = createServer((client) => {
    if (mode === 'refuse') {
      client.destroy()
      return
    }
    const upstream = connectTcp(Number(port || 5432), hostname)
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(one)
      one.setNoDelay(true)
      one.on('error', () => undefined)
      one.on('close', () => {
        open.delete(one)
        other.destroy()
      })
    }
    client.on('data', (data) => {
      const deliver = (): void => {
        proxy.onPacket?.(data, false)
        if (!upstream.destroyed) upstream.write(data)
        proxy.onPacket?.(data, true)
      }
      if (mode === 'stall' || holdBack?.(data) === true) waiting.push(deliver)
      else deliver()
    })
    upstream.on('data', (data) => {
      const deliver = (): void => {
        if (!client.destroyed) client.write(data)
      }
      if (mode === 'stall') waiting.push(deliver)
      else deliver()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address() as AddressInfo

  const proxy: Proxy = {
    through(url) {
      const changed = new URL(url)
      changed.host = `127.0.0.1:${address.port}`
      return changed.href
    },
    get mode() {
      return mode
    },
    set mode(next) {
      mode = next
      if (next === 'pass') for (const deliver of waiting.splice(0)) deliver()
    },
    get holdBack() {
      return holdBack
    },
    set holdBack(next) {
      holdBack = next
      if (next === undefined) for (const deliver of waiting.splice(0)) deliver()
    },
    get heldBack() {
      return waiting.length
    },
    deliverAndCut() {
      holdBack = undefined
      mode = 'stall'
      for (const deliver of waiting.splice(0)) deliver()
      // What was written leaves before the end of the connection does.
      for (const socket of open) socket.end()
      mode = 'pass'
    },
    onPacket: undefined,
    cut() {
      waiting.length = 0
      for (const socket of open) socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      server.close()
      proxy.cut()
      await once(server, 'close')
    },
  }
  return proxy
}
