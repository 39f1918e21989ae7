import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { StartupError, type Flaw } from '../../broker/errors.ts'
import { compilePolicies, loadPolicies } from '../../broker/policy/load-policies.ts'

const PERMIT = 'permit (principal, action, resource);'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskgrant-policies-'))
})
afterEach(() => rm(folder, { recursive: true }))

function flawsOf(...texts: string[]): readonly Flaw[] {
  try {
    compilePolicies(texts.map((text, index) => ({ file: `${index}.cedar`, text })))
    return []
  } catch (error) {
    if (error instanceof StartupError) return error.flaws
    throw error
  }
}

test.each([
  ['no id', PERMIT, 'expected an @id'],
  ['an id without value', `@id ${PERMIT}`, 'expected an @id'],
  ['an empty id', `@id("") ${PERMIT}`, 'expected an @id'],
  ['an id with a space', `@id("a b") ${PERMIT}`, 'expected an @id'],
  ['a long id', `@id("${'a'.repeat(129)}") ${PERMIT}`, 'expected an @id'],
  ['an id of ours', `@id("taskgrant:owner") ${PERMIT}`, 'built in'],
  [
    'an id twice',
    `@id("a") ${PERMIT}\n@id("a") forbid (principal, action, resource);`,
    'that of 0.cedar line 1',
  ],
  ['two ids', `@id("a") @id("b") ${PERMIT}`, 'duplicate annotation'],
  [
    'an approval that this release would ignore',
    `@id("a") @requireApproval ${PERMIT}`,
    'a: the annotation @requireApproval',
  ],
  [
    'a limit that this release would ignore',
    `@id("a") @maxLiveGrants("3") ${PERMIT}`,
    '@maxLiveGrants is not supported',
  ],
  ['an annotation in other letters', `@id("a") @MaxTtl("3m") ${PERMIT}`, '@MaxTtl is not supported'],
  ['a cap that is no duration', `@id("a") @maxTtl("15 minutes") ${PERMIT}`, 'a: expected @maxTtl'],
  ['a cap without value', `@id("a") @maxTtl ${PERMIT}`, 'a: expected @maxTtl'],
  ['a cap of nothing', `@id("a") @maxTtl("0s") ${PERMIT}`, 'a: expected @maxTtl'],
  ['a cap above a year', `@id("a") @maxTtl("366d") ${PERMIT}`, 'a: expected @maxTtl'],
  [
    'a cap on a forbid',
    `@id("a") @maxTtl("1h") forbid (principal, action, resource);`,
    'no meaning on a forbid',
  ],
  ['a template', `@id("a") permit (principal == ?principal, action, resource);`, 'not a template'],
  [
    'an unknown action',
    `@id("a") permit (principal, action == Action::"opentask", resource);`,
    'unrecognized action',
  ],
  ['an unknown type', `@id("a") permit (principal in Grup::"x", action, resource);`, 'did you mean `Group`?'],
  [
    'an unknown attribute',
    `@id("a") permit (principal, action, resource) when { principal.name == "x" };`,
    'attribute `name`',
  ],
  [
    'an optional attribute that may be missing',
    `@id("a") forbid (principal, action, resource) when { context.ttlSeconds > 60 };`,
    'testing for the attribute',
  ],
  [
    'a tag that may be missing',
    `@id("a") forbid (principal, action == Action::"endTask", resource is Task) when { resource.getTag("x") == "y" };`,
    'tag',
  ],
  [
    'a forbid that can never apply',
    `@id("a") forbid (principal, action == Action::"openTask", resource is Task);`,
    'impossible',
  ],
  [
    'a broken literal',
    `@id("a") permit (principal, action, resource) when { context.time < datetime("tomorrow") };`,
    'datetime',
  ],
  ['text that reads backwards', `// \u202e\n@id("a") ${PERMIT}`, 'bidirectional'],
])('%s is refused', (_name, text, message) => {
  const flaws = flawsOf(text)
  expect(flaws.map((flaw) => flaw.path)).toContain('policies/0.cedar')
  expect(flaws.map((flaw) => flaw.message).join('\n')).toContain(message)
})

test('every flaw is told, with its file and line', () => {
  const flaws = flawsOf(
    `// é comments count in bytes\n\n@id("a")\npermit (principal action, resource);`,
    `@id("b") ${PERMIT}\n\n${PERMIT}\n@id("c") @requireApproval ${PERMIT}`,
    `@id("b") ${PERMIT}`,
  )
  expect(flaws).toEqual([
    { path: 'policies/0.cedar', message: expect.stringMatching(/^line 4: /) },
    { path: 'policies/1.cedar', message: expect.stringMatching(/^line 3: expected an @id/) },
    {
      path: 'policies/1.cedar',
      message: expect.stringMatching(/^line 4: c: the annotation @requireApproval/),
    },
    {
      path: 'policies/2.cedar',
      message: expect.stringMatching(/^line 1: b: expected another id.*1\.cedar line 1/),
    },
  ])
  const invalid = `@id("ok") ${PERMIT}\n@id("bad")\npermit (principal, action == Action::"fly", resource);`
  expect(flawsOf(invalid)).toEqual([
    { path: 'policies/0.cedar', message: expect.stringMatching(/^line 2: bad: /) },
  ])
})

test('lines are right in a long file too', () => {
  const many = Array.from({ length: 25 }, (_, index) => `@id("p${index}")\n${PERMIT}`).join('\n')
  expect(flawsOf(`${many}\n${PERMIT}`)[0]?.message).toMatch(/^line 51: expected an @id/)
})

test('a file of more than 1 MiB and more than 1,000 policies are refused', () => {
  expect(flawsOf(`// ${'x'.repeat(1_048_576)}`)[0]?.message).toContain('1048576 bytes')
  const many = Array.from({ length: 1_001 }, (_, index) => `@id("p${index}") ${PERMIT}`).join('\n')
  expect(flawsOf(many)[0]?.message).toContain('at most 1000 policies')
})

test('a folder is read in order, other files and folders left alone', async () => {
  await writeFile(join(folder, 'b.cedar'), `@id("b") ${PERMIT}`)
  await writeFile(join(folder, 'a.cedar'), `\ufeff@id("a") @description("all") ${PERMIT}`)
  await writeFile(join(folder, 'README.md'), 'not a policy')
  await writeFile(join(folder, '.#a.cedar'), 'a lock of an editor')
  await mkdir(join(folder, 'more'))
  await writeFile(join(folder, 'more', 'c.cedar'), 'not read')
  await symlink(join(folder, 'b.cedar'), join(folder, 'link'))
  expect((await loadPolicies(folder)).policyIds).toEqual(['a', 'b', 'taskgrant:owner'])
})

test('an empty folder is a set that allows nothing but what is built in', async () => {
  expect((await loadPolicies(folder)).policyIds).toEqual(['taskgrant:owner'])
})

test('what cannot be read stops the start with its name', async () => {
  await expect(loadPolicies(join(folder, 'missing'))).rejects.toMatchObject({
    name: 'StartupError',
    flaws: [{ path: 'policies', message: expect.stringContaining('ENOENT') }],
  })
  await mkdir(join(folder, 'd.cedar'))
  await symlink('nowhere', join(folder, 'l.cedar'))
  await writeFile(join(folder, 'u.cedar'), Buffer.from([0x2f, 0x2f, 0xff, 0xfe]))
  await writeFile(join(folder, 'x.cedar'), 'x'.repeat(1_048_577))
  const error: unknown = await loadPolicies(folder).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(StartupError)
  const paths = error instanceof StartupError ? error.flaws.map(({ path }) => path) : []
  expect(paths).toEqual(['d', 'l', 'u', 'x'].map((name) => `policies/${name}.cedar`))
})
