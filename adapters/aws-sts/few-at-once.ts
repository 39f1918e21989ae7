/** IAM takes few calls at once. */
const AT_ONCE = 4

/** Like `Promise.allSettled`, but never with more than a few under way. */
export async function fewAtOnce<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<PromiseSettledResult<Result>[]> {
  const results: PromiseSettledResult<Result>[] = []
  for (const some of chunked(items, AT_ONCE)) results.push(...(await Promise.allSettled(some.map(work))))
  return results
}

/** What all of them came to. Throws the first reason if one was rejected. */
export function valuesOf<Result>(settled: readonly PromiseSettledResult<Result>[]): Result[] {
  return settled.map((one) => {
    if (one.status === 'rejected') throw one.reason
    return one.value
  })
}

export function chunked<Item>(items: readonly Item[], size: number): Item[][] {
  const count = Math.ceil(items.length / size)
  return Array.from({ length: count }, (_, index) => items.slice(index * size, (index + 1) * size))
}
