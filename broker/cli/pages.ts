import type { ApiClient, Query } from './api-client.ts'
import type { Page } from './api-types.ts'

const LARGEST_PAGE = 1_000

/** Up to `limit` items of a list, over as many pages as it takes. */
export async function collect<Item>(
  api: ApiClient,
  path: string,
  query: Query & { readonly after?: string | number | undefined },
  limit: number,
): Promise<Page<Item>> {
  const items: Item[] = []
  let next: string | number | null = query.after ?? null
  do {
    const size = Math.min(LARGEST_PAGE, limit - items.length)
    const { body }: { body: Page<Item> } = await api.get<Page<Item>>(path, {
      ...query,
      limit: size,
      after: next ?? undefined,
    })
    items.push(...body.items)
    next = body.next
  } while (next !== null && items.length < limit)
  return { items, next }
}
