import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isMirabelleError } from '@mirabelle/messages'
import { realDisk } from '@mirabelle/runtime'
import t, { type Test } from 'tap'
import { createInstanceFolder } from '../src/create-instance-folder.ts'

async function folder(test: Test): Promise<string> {
  const base = await mkdtemp(join(tmpdir(), 'mirabelle-create-'))
  test.teardown(() => rm(base, { recursive: true }))
  return join(base, 'instance')
}

function making(dir: string, dbid = 2) {
  const made = { fills: 0 }
  const run = () =>
    createInstanceFolder(realDisk, dir, {
      identity: { clusterId: 'c', content: 0, dbid, createdAt: 1 },
      fill: async () => {
        made.fills += 1
        await mkdir(join(dir, 'pgdata'), { recursive: true })
        await writeFile(join(dir, 'pgdata', 'PG_VERSION'), '18')
      },
    })
  return { made, run }
}

t.test('a new folder is filled and gets its identity', async (test) => {
  const dir = await folder(test)
  const { made, run } = making(dir)
  await run()
  test.equal(made.fills, 1)
  test.same((await readdir(dir)).sort(), ['instance.json', 'pgdata'])
})

t.test('a creation that is done is left as it is', async (test) => {
  const { made, run } = making(await folder(test))
  await run()
  await run()
  test.equal(made.fills, 1)
})

t.test('the rest of an interrupted creation is made anew', async (test) => {
  const dir = await folder(test)
  await mkdir(join(dir, 'pgdata.half'), { recursive: true })
  await mkdir(join(dir, 'wal'))
  const { made, run } = making(dir)
  await run()
  test.equal(made.fills, 1)
  test.same((await readdir(dir)).sort(), ['instance.json', 'pgdata'])
})

t.test('a folder with files of somebody else is refused and kept', async (test) => {
  const dir = await folder(test)
  await mkdir(dir)
  await writeFile(join(dir, 'thesis.txt'), 'years of work')
  await test.rejects(making(dir).run(), { code: 'datadir.foreign', message: /thesis\.txt/ })
  test.same(await readdir(dir), ['thesis.txt'])
})

t.test(
  'what is copied anew anyway takes the place of what it has left there without an identity',
  async (test) => {
    const dir = await folder(test)
    const copied = (dbid = 2) =>
      createInstanceFolder(realDisk, dir, {
        identity: { clusterId: 'c', content: 0, dbid, createdAt: 1 },
        fill: async () => void (await mkdir(dir, { recursive: true })),
        isCopied: true,
      })
    await copied()
    test.same(await readdir(dir), ['instance.json'], 'a folder that is gone')
    await writeFile(join(dir, 'start.json'), '{}')
    await mkdir(join(dir, 'pgdata'))
    await copied()
    test.same((await readdir(dir)).sort(), ['instance.json', 'pgdata', 'start.json'], 'one with an identity')
    await test.rejects(copied(3), { code: 'datadir.foreign' })
    await rm(join(dir, 'instance.json'))
    await copied()
    test.same(await readdir(dir), ['instance.json'], 'the rest of one')
    await rm(join(dir, 'instance.json'))
    await writeFile(join(dir, 'thesis.txt'), 'years of work')
    await test.rejects(copied(), { code: 'datadir.foreign' })
  },
)

t.test('a folder of another instance, or one that has run, is refused', async (test) => {
  const dir = await folder(test)
  await making(dir).run()
  await test.rejects(making(dir, 3).run(), { code: 'datadir.foreign' })
  await writeFile(join(dir, 'start.json'), '{}')
  const error: unknown = await making(dir)
    .run()
    .then(
      () => undefined,
      (reason: unknown) => reason,
    )
  test.ok(isMirabelleError(error, 'datadir.foreign'))
})
