import { expect, test } from 'vitest'
import { createAdmission, type Kind } from '../../broker/http/admission.ts'

function fill(kind: Kind): {
  readonly admission: ReturnType<typeof createAdmission>
  readonly places: Disposable[]
} {
  const admission = createAdmission()
  const places: Disposable[] = []
  for (let entered = 0; entered < 10_000; entered += 1) {
    try {
      places.push(admission.enter(kind))
    } catch {
      return { admission, places }
    }
  }
  throw new Error(`there is no end to ${kind}`)
}

test('what anybody may ask takes no place from those who end access, nor they from it', () => {
  const open = fill('public')
  expect(() => open.admission.enter('public')).toThrow(/too many requests/)
  using _ending = open.admission.enter('waiting')
  const known = fill('plain')
  expect(() => known.admission.enter('plain')).toThrow(/too many requests/)
  using _public = known.admission.enter('public')
})

test('a place is free again when its request is over', () => {
  const { admission, places } = fill('public')
  places[0]?.[Symbol.dispose]()
  using _again = admission.enter('public')
  expect(() => admission.enter('public')).toThrow(/too many requests/)
})
