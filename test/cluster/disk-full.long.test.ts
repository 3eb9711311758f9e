// The disk of one instance after the other is full while clients write: of a mirror, the standby, a primary, the coordinator. It is told which one and what to do,
// nothing acknowledged is lost, what does not need that disk goes on, nobody starts over and over, and with room again all is as before.
import t, { type Test } from 'tap'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import {
  contentOf,
  describeVerdict,
  inOwnNamespace,
  inSync,
  isFaultless,
  isInOwnNamespace,
  Load,
  LogWatch,
  SmallDisk,
  TestCluster,
  waitFor,
  whyNoNamespace,
} from '@mirabelle/testkit/cluster'

const LIMIT_MS = 1_200_000
const DISK_MB = 192
/** Room for data, and none for the next WAL segment, which has 1 MB. */
const NO_SEGMENT = 700_000
/** PostgreSQL's disk_full. */
const DISK_FULL = '53100'
const COORDINATOR = 1

t.setTimeout(LIMIT_MS)

if (isInOwnNamespace()) stories()
else {
  const skip = whyNoNamespace() ?? false
  const node = [...process.execArgv, fileURLToPath(import.meta.url)]
  const { command, args, env } = inOwnNamespace(process.execPath, node)
  t.test('in a mount namespace of its own', { skip }, (t) =>
    t.spawn(command, args, { env, timeout: LIMIT_MS }, 'full disks'),
  )
}

function stories(): void {
  t.test('a full disk of a mirror, the standby, a primary, the coordinator', async (t) => {
    const cluster = await TestCluster.start({ segments: 2, start: false })
    t.teardown(() => cluster.close())
    const disks = new Map<number, SmallDisk>()
    for (const { dbid, datadir } of cluster.facts.rows) {
      const disk = new SmallDisk(`dbid${dbid}`, DISK_MB)
      disk.take(datadir)
      disks.set(dbid, disk)
    }
    const diskOf = (dbid: number) => disks.get(dbid) as SmallDisk
    await cluster.cluster.start()
    const load = await Load.start(cluster, { count: 8, apart: true })
    t.teardown(() => load.stop())
    await cluster.query('CREATE TABLE scratch (id bigint, pad text) DISTRIBUTED BY (id)')
    await cluster.waitForCatalog('all pairs in sync', inSync)
    await load.acks(100)

    await t.test('mirror: down, and commits go on without it', async (t) => {
      const { dbid, datadir } = await cluster.mirrorOf(0)
      const exits = await exitsOf(cluster, dbid)
      diskOf(dbid).fill()
      await cluster.waitForCatalog('the mirror down', (rows) =>
        rows.some((row) => row.dbid === dbid && row.status === 'd'),
      )
      await bothGoOn(load)
      await problem(t, cluster, dbid, datadir, 'mirabelle recover')
      const results = await cluster.cluster.recover({ timeoutMs: 20_000 })
      t.match(results, [{ dbid, outcome: 'failed', message: isFull(datadir) }], 'recover says why it cannot')
      t.equal((await exits()).length, 1, 'it ended once, and nobody started it again')
      diskOf(dbid).empty()
      await cluster.heal()
    })

    await t.test('standby: the coordinator goes on without it', async (t) => {
      const { dbid, datadir } = await cluster.mirrorOf(-1)
      const exits = await exitsOf(cluster, dbid)
      diskOf(dbid).fill()
      await cluster.query('CREATE TABLE noted (id int)') // WAL that it cannot take
      await waitFor('the end of the standby', async () => !(await cluster.pids()).has(dbid))
      await bothGoOn(load)
      await cluster.query('DROP TABLE noted')
      await problem(t, cluster, dbid, datadir, 'mirabelle standby resync')
      t.match(await cluster.cluster.resyncStandby(), [{ dbid, outcome: 'failed', message: isFull(datadir) }])
      t.equal((await exits()).length, 1)
      diskOf(dbid).empty()
      t.match(await cluster.cluster.resyncStandby(), [{ dbid, outcome: 'done' }])
    })

    await t.test('primary, no room for rows: statements fail, and go on by themselves', async (t) => {
      const { dbid, datadir } = await cluster.primaryOf(0)
      const fullAt = performance.now()
      diskOf(dbid).fill()
      await waitFor('refused statements', () =>
        [...load.ledger.errors(fullAt).keys()].some((error) => error.startsWith(DISK_FULL)),
      )
      await load.acksOn(1, performance.now())
      await problem(t, cluster, dbid, datadir, 'make room there')
      t.match(await cluster.primaryOf(0), { dbid, status: 'u' }, 'it stays primary')
      t.same(
        [...load.ledger.errors(fullAt).keys()].filter((error) => !error.startsWith(DISK_FULL)),
        [],
        'clients see that the disk is full, and nothing else',
      )
      diskOf(dbid).empty()
      await load.acksOn(0, performance.now())
      t.match((await cluster.cluster.state()).cluster.problems, [])
    })

    await t.test('primary, no room for WAL: its mirror takes over', async (t) => {
      const { dbid, datadir } = await cluster.primaryOf(0)
      const exits = await exitsOf(cluster, dbid)
      const fullAt = performance.now()
      await writeWal(cluster, diskOf(dbid), async () => (await cluster.primaryOf(0)).dbid !== dbid)
      await bothGoOn(load)
      t.same(
        [...load.ledger.errors(fullAt).keys()].filter((error) => !error.startsWith(DISK_FULL)),
        [],
        'no client loses anything',
      )
      await problem(t, cluster, dbid, datadir, 'mirabelle recover')
      diskOf(dbid).fill()
      const results = await cluster.cluster.recover({ timeoutMs: 20_000 })
      t.match(results, [{ dbid, outcome: 'failed', message: isFull(datadir) }])
      t.equal((await exits()).length, 1)
      diskOf(dbid).empty()
      await cluster.heal()
    })

    await t.test('coordinator, no room for WAL: it starts when there is room', async (t) => {
      const { datadir } = cluster.instance(COORDINATOR)
      const exits = await exitsOf(cluster, COORDINATOR)
      await waitFor(
        'the end of the coordinator',
        async () => {
          diskOf(COORDINATOR).fill(NO_SEGMENT)
          // Rows that a query makes pass through a table of the coordinator. Refused, or its server has ended.
          await cluster
            .query(`INSERT INTO scratch SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, 100) i`)
            .catch(() => undefined)
          await cluster.query('TRUNCATE scratch').catch(() => undefined)
          return !(await cluster.pids()).has(COORDINATOR)
        },
        120_000,
      )
      const { instances } = await cluster.cluster.headless()
      t.match(
        instances.find(({ dbid }) => dbid === COORDINATOR),
        { detail: isFull(datadir) },
        'its agent knows why it ended',
      )
      await t.rejects(cluster.cluster.start({ timeoutMs: 20_000 }), { message: isFull(datadir) })
      t.ok((await exits()).length <= 2, 'it ended once, and once more when it was started')
      diskOf(COORDINATOR).empty()
      await cluster.cluster.start()
      await bothGoOn(load)
      await cluster.waitForCatalog('all as before', inSync)
    })

    await load.stop()
    const verdict = await load.judge()
    t.comment(describeVerdict(verdict))
    t.comment([...load.ledger.errors()].map(([error, times]) => `${times} x ${error}`).join('; '))
    t.ok(isFaultless(verdict), 'nothing acknowledged is lost, nothing is there twice', { found: verdict })
  })
}

/** The words about a full disk, with the folder. */
function isFull(datadir: string): RegExp {
  return new RegExp(`the disk of ${datadir}\\b.* is full: make room there`)
}

/** Asks for the death certificates of an instance from now on. */
async function exitsOf(cluster: TestCluster, dbid: number): Promise<() => Promise<string[]>> {
  const log = await LogWatch.of(...cluster.logsOfAgents())
  return () => log.matching(new RegExp(`"dbid":${dbid},.*"instance exited"`))
}

async function bothGoOn(load: Load): Promise<void> {
  const now = performance.now()
  for (const content of [0, 1]) await load.acksOn(content, now)
}

/** `state` names the instance, its folder, and what to do. */
async function problem(t: Test, cluster: TestCluster, dbid: number, datadir: string, remedy: string) {
  const told = await waitFor('what state says', async () => {
    const { problems } = (await cluster.cluster.state()).cluster
    return problems.find((one) => one.includes(datadir) && one.includes(remedy))
  })
  t.match(told, `dbid ${dbid}`)
  t.match(told, /make room there/)
}

/** Writes WAL of content 0, with room for its data on the disk and none for another segment of WAL, until something is so. */
async function writeWal(cluster: TestCluster, disk: SmallDisk, until: () => Promise<boolean>): Promise<void> {
  let id = 1
  while (contentOf(id, cluster.contents) !== 0) id++
  await waitFor(
    'what comes of much WAL',
    async () => {
      disk.fill(NO_SEGMENT)
      // Random, so that it cannot be compressed away; in the text, so that the coordinator writes nothing.
      await cluster.query(`INSERT INTO scratch VALUES (${id}, '${randomBytes(60_000).toString('hex')}')`)
      await cluster.query('TRUNCATE scratch')
      return until()
    },
    120_000,
  )
}
