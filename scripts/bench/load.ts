import { Agent, request } from 'node:http'

export interface Rate {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Runs `work` `count` times, `concurrency` at once, and measures each run. */
export async function measure(
  count: number,
  concurrency: number,
  work: (index: number) => Promise<void>,
): Promise<Rate> {
  const times: number[] = []
  let next = 0
  const started = performance.now()
  const lanes = Array.from({ length: concurrency }, async () => {
    for (let index = next++; index < count; index = next++) {
      const from = performance.now()
      await work(index)
      times.push(performance.now() - from)
    }
  })
  await Promise.all(lanes)
  const seconds = (performance.now() - started) / 1000
  times.sort((a, b) => a - b)
  const at = (share: number): number =>
    times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  return { perSecond: count / seconds, p50Ms: at(0.5), p99Ms: at(0.99) }
}

export type Post = (path: string, body: unknown) => Promise<{ status: number; body: string }>

/** A small HTTP client that keeps its connections: the load generator shares the machine with what it measures. */
export function poster(url: string, token: string, connections: number): Post & Disposable {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const post: Post = (path, body) =>
    new Promise((resolve, reject) => {
      const text = JSON.stringify(body)
      const headers = {
        Authorization: `Bearer ${token}`,
        'Content-Type': 'application/json',
        'Content-Length': Buffer.byteLength(text),
      }
      const outgoing = request(new URL(path, url), { method: 'POST', agent, headers }, (response) => {
        let answer = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (answer += chunk))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: answer }))
      })
      outgoing.on('error', reject)
      outgoing.end(text)
    })
  return Object.assign(post, { [Symbol.dispose]: () => agent.destroy() })
}
