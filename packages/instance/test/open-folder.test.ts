import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Assignment } from '@mirabelle/messages'
import { realDisk, type Disk } from '@mirabelle/runtime'
import { openFolder } from '../src/life/open-folder.ts'
import { writeIdentity } from '../src/state/identity.ts'

function assignmentOf(datadir: string, content: number, role: 'p' | 'm'): Assignment {
  return {
    dbid: 2,
    content,
    role,
    epoch: 2,
    hostname: 'h',
    datadir,
    listen: { addresses: ['127.0.0.1'], port: 0 },
    sqlPort: 0,
    peer: null,
    syncRep: null,
    recovery: 'auto',
    copyMaxRate: null,
    settings: {},
  }
}

/** Opens a folder of an instance that has promised epoch 2, for a start by a coordinator of the epoch. */
async function opening(
  test: Test,
  epoch: number,
  content: number,
  role: 'p' | 'm',
  claim?: (datadir: string) => Promise<void>,
) {
  const base = await mkdtemp(join(tmpdir(), 'mirabelle-open-'))
  test.teardown(() => rm(base, { recursive: true }))
  const datadir = join(base, 'd')
  await writeIdentity(realDisk, datadir, { clusterId: 'c', content, dbid: 2, createdAt: 1 })
  const assignment = assignmentOf(datadir, content, role)
  await openFolder(realDisk, 'c', assignment)
  return openFolder(realDisk, 'c', { ...assignment, epoch }, async () => claim?.(datadir))
}

t.test(
  'an instance is not started by a coordinator that was replaced: its catalog is old (I4)',
  async (test) => {
    for (const role of ['p', 'm'] as const)
      await test.rejects(opening(test, 1, 0, role), { code: 'epoch.stale', message: /promised epoch 2/ })
    await test.rejects(opening(test, 1, -1, 'm'), { code: 'epoch.stale' })
  },
)

t.test('a coordinator starts whatever epoch the administrator knows: its catalog judges', async (test) => {
  test.equal((await opening(test, 1, -1, 'p')).epoch, 2)
})

t.test('a higher epoch is promised by the start', async (test) => {
  test.equal((await opening(test, 3, 0, 'm')).epoch, 3)
})

t.test('what an instance promises is not lost with the folder that it lies in', async (test) => {
  const base = await mkdtemp(join(tmpdir(), 'mirabelle-open-'))
  test.teardown(() => rm(base, { recursive: true }))
  const datadir = join(base, 'd')
  await writeIdentity(realDisk, datadir, { clusterId: 'c', content: 0, dbid: 2, createdAt: 1 })
  const calls: string[] = []
  const disk: Disk = {
    ...realDisk,
    makeDir: async (path) => {
      await realDisk.makeDir(path)
      calls.push(`made ${path}`)
    },
    syncDir: async (path) => {
      await realDisk.syncDir(path)
      calls.push(`synced ${path}`)
    },
  }
  await openFolder(disk, 'c', assignmentOf(datadir, 0, 'm'))
  for (const folder of ['state', 'wal'])
    test.ok(
      calls.lastIndexOf(`synced ${datadir}`) > calls.indexOf(`made ${datadir}/${folder}`),
      `the name of ${folder} is durable`,
    )
})

t.test('of a folder that somebody else works on nothing is changed (I7)', async (test) => {
  const contentsOf = async (folder: string): Promise<string[]> => {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
    return Promise.all(files.sort().map(async (file) => `${file}: ${await readFile(file, 'utf8')}`))
  }
  let folder = ''
  let before: string[] = []
  const claim = async (datadir: string): Promise<void> => {
    folder = datadir
    before = await contentsOf(datadir)
    throw new Error('somebody has it')
  }
  await test.rejects(opening(test, 3, 0, 'm', claim), { message: 'somebody has it' })
  test.ok(before.length > 0)
  test.same(await contentsOf(folder), before)
})
