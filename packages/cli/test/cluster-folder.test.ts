/** The description of a cluster when several commands work with it at once. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { SegmentRow } from '@mirabelle/messages'
import type { Cluster } from '../src/cluster/cluster.ts'
import { remember } from '../src/cluster/coordinators.ts'
import { describedBy, isStale } from '../src/cluster/describe-catalog.ts'
import type { ClusterFile } from '../src/folder/cluster-file.ts'
import { ClusterFolder } from '../src/folder/cluster-folder.ts'
import { silentReporter } from '../src/terminal/reporter.ts'

const row = (dbid: number, content: number, role: 'p' | 'm'): SegmentRow => ({
  dbid,
  content,
  role,
  preferredRole: role,
  mode: 's',
  status: 'u',
  port: 7000 + dbid,
  hostname: 'h1',
  address: '127.0.0.1',
  datadir: `/data/${dbid}`,
  endpoint: { addresses: ['127.0.0.1'], port: 8000 + dbid },
})
const file: ClusterFile = {
  formatVersion: 1,
  clusterId: 'c',
  createdAt: '2026-01-01T00:00:00Z',
  progress: 'ready',
  local: true,
  mirroring: 'group',
  settings: {},
  keyFile: 'cluster.key',
  hosts: [{ name: 'h1', addresses: ['127.0.0.1'], agentPort: 6999, dir: '/h1' }],
  rows: [row(1, -1, 'p'), row(2, 0, 'p'), row(3, 0, 'm')],
  coordinatorDbid: 1,
  standbyDbid: null,
  activatingDbid: null,
  epoch: 1,
  initialised: true,
}

async function folders(test: Test): Promise<[ClusterFolder, ClusterFolder]> {
  const dir = await mkdtemp(join(tmpdir(), 'mirabelle-folder-'))
  test.teardown(() => rm(dir, { recursive: true }))
  return [await ClusterFolder.create(dir, file), await ClusterFolder.open(dir)]
}

t.test('a long command does not take back what another one has written meanwhile', async (test) => {
  const [recover, standby] = await folders(test)
  await standby.update(({ rows }) => ({ rows: [...rows, row(9, -1, 'm')], standbyDbid: 9 }))
  await recover.update(({ rows }) => ({ rows: rows.filter(({ dbid }) => dbid !== 3) }))
  for (const one of [recover, await ClusterFolder.open(recover.dir)])
    test.same(
      [one.file.standbyDbid, one.file.rows.map(({ dbid }) => dbid)],
      [9, [1, 2, 9]],
      'both changes are there',
    )
})

t.test('changes at the same time are made one after the other', async (test) => {
  const [first, second] = await folders(test)
  const count = (folder: ClusterFolder) => folder.update(({ epoch }) => ({ epoch: epoch + 1 }))
  await Promise.all(Array.from({ length: 10 }, (_, i) => count(i % 2 === 0 ? first : second)))
  test.equal((await ClusterFolder.open(first.dir)).file.epoch, 11)
})

t.test('of two commands that make a cluster in one folder one makes it', async (test) => {
  const dir = await mkdtemp(join(tmpdir(), 'mirabelle-folder-'))
  test.teardown(() => rm(dir, { recursive: true }))
  const both = await Promise.allSettled([
    ClusterFolder.create(dir, file),
    ClusterFolder.create(dir, { ...file, clusterId: 'other' }),
  ])
  test.equal(both.filter(({ status }) => status === 'fulfilled').length, 1)
  test.match(
    both.find(({ status }) => status === 'rejected'),
    { reason: { message: /has just begun to make a cluster/ } },
  )
})

t.test('a description that was deleted, or damaged, meanwhile is not written anew', async (test) => {
  const [folder, other] = await folders(test)
  const path = join(folder.dir, 'cluster.json')
  await writeFile(path, '{"formatVersion":1')
  await test.rejects(folder.update({ epoch: 7 }), { message: /is not valid JSON/ })
  test.equal(await readFile(path, 'utf8'), '{"formatVersion":1')
  await other.remove()
  await test.rejects(folder.update({ epoch: 7 }), { message: /there is no cluster in .* any more/ })
})

t.test('a description that is older than the catalog learns of its standby, and of its mirrors', (test) => {
  const [coordinator, primary] = [row(1, -1, 'p'), row(2, 0, 'p')]
  const catalog = { mirroring: 'none' as const, rows: [coordinator, row(9, -1, 'm'), primary] }
  test.ok(isStale(file, catalog.rows))
  const now = { ...file, ...describedBy(catalog)(file) }
  test.match(now, { standbyDbid: 9, mirroring: 'none' })
  test.same(
    now.rows.map(({ dbid }) => dbid),
    [1, 2, 9],
  )
  test.notOk(isStale(now, catalog.rows))
  const removed = { ...catalog, rows: [coordinator, primary] }
  test.ok(isStale(now, removed.rows), 'somebody else has removed it')
  const after = { ...now, ...describedBy(removed)(now) }
  test.equal(after.standbyDbid, null)
  test.ok(
    after.rows.some(({ dbid }) => dbid === 9),
    'the next one gets its place',
  )
  const making = { ...now, makingStandbyDbid: 9 }
  test.notOk(isStale(making, removed.rows), 'it is being made, and not in the catalog yet')
  test.equal(describedBy(removed)(making).standbyDbid, 9)
  test.end()
})

t.test(
  'a coordinator that acts is written down, and that no activation has come to anything',
  async (test) => {
    const [folder, other] = await folders(test)
    const cluster = { folder, reporter: silentReporter } as Cluster
    const [old, standby] = [row(1, -1, 'p'), row(9, -1, 'm')]
    await other.update(({ rows }) => ({ rows: [...rows, standby], standbyDbid: 9, activatingDbid: 9 }))
    await folder.update({ activatingDbid: 9 })
    await remember(cluster, old, 1)
    test.match(folder.file, { coordinatorDbid: 1, standbyDbid: 9, activatingDbid: null })
    await remember(cluster, standby, 2)
    test.match(folder.file, { coordinatorDbid: 9, standbyDbid: null, epoch: 2 })
    await other.update({ rows: [row(2, 0, 'p'), row(9, -1, 'p')] })
    await remember(cluster, old, 1)
    test.equal(folder.file.coordinatorDbid, 9, 'not one that is described no more')
  },
)
