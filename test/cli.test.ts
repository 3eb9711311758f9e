/** The `mirabelle` command on a real cluster: processes, PostgreSQL engines, ordinary clients. One cluster lives through the whole file. */
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import t from 'tap'
import type { ClusterState } from '@mirabelle/messages'
import { commandOn } from './support/command.ts'

t.setTimeout(600_000)

/** Between two looks at the state; each is a process. */
const LOOK_EVERY_MS = 100

const base = await mkdtemp(join(tmpdir(), 'mirabelle-cli-'))
const dir = join(base, 'cluster')

const mirabelle = commandOn(dir)

async function state(): Promise<ClusterState> {
  const { stdout } = await mirabelle('state', '--json')
  return JSON.parse(stdout) as ClusterState
}

async function query(port: number, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
  await client.connect()
  try {
    return (await client.query(sql)).rows as Record<string, unknown>[]
  } finally {
    await client.end()
  }
}

/** Asks for the state until it is as wanted; fails when that does not come. */
async function until(what: string, wanted: (state: ClusterState) => boolean): Promise<ClusterState> {
  const deadline = Date.now() + 60_000
  while (Date.now() < deadline) {
    const now = await state()
    if (wanted(now)) return now
    await pause(LOOK_EVERY_MS)
  }
  throw new Error(`waited 60 s in vain for ${what}`)
}

function pidOf(now: ClusterState, dbid: number): number {
  const pid = now.instances.find((row) => row.dbid === dbid)?.pid
  if (pid === null || pid === undefined) throw new Error(`dbid ${dbid} does not run`)
  return pid
}

t.teardown(async () => {
  await mirabelle('destroy', '--yes')
  await rm(base, { recursive: true, force: true })
})

t.test('init makes a cluster and leaves nothing running; a second init refuses to touch it', async (test) => {
  const made = await mirabelle('init', '--port', '0')
  test.equal(made.status, 2, 'port 0 is no port')
  const { status, stdout, stderr } = await mirabelle('init', '--json', '--set', 'gp_fts_probe_interval=2s')
  test.equal(status, 0, stderr)
  const folder = JSON.parse(stdout) as { instances: { dbid: number; content: number; role: string }[] }
  test.same(
    folder.instances.map(({ dbid, content, role }) => [dbid, content, role]),
    [
      [1, -1, 'p'],
      [2, 0, 'p'],
      [3, 1, 'p'],
      [4, 0, 'm'],
      [5, 1, 'm'],
      [6, -1, 'm'],
    ],
  )
  const idle = await mirabelle('state')
  test.equal(idle.status, 2)
  test.match(idle.stdout, 'THE CLUSTER IS NOT RUNNING')
  const again = await mirabelle('init')
  test.equal(again.status, 2)
  test.match(again.stderr, 'holds a cluster already')
})

t.test('start brings everything up, prints its table, and may be run again', async (test) => {
  const first = await mirabelle('start')
  test.equal(first.status, 0, first.stderr)
  test.match(first.stdout, 'Successfully started 4 of 4 segment instances')
  const { cluster, instances } = await state()
  test.match(first.stdout, `psql -h 127.0.0.1 -p ${cluster.port} -U postgres postgres`)
  test.same(cluster.problems, [])
  test.equal(cluster.standby, 'streaming')
  test.same(new Set(instances.filter(({ content }) => content >= 0).map(({ mode }) => mode)), new Set(['s']))
  const pids = instances.map(({ pid }) => pid)
  const fault = await mirabelle('fault', 'inject', 'promotion.role', 'crash', '--dbid', '2')
  test.equal(fault.status, 2)
  test.match(fault.stderr, /not started with fault points allowed/)
  const second = await mirabelle('start')
  test.equal(second.status, 0)
  test.match(second.stdout, 'The cluster was running already')
  test.same(
    (await state()).instances.map(({ pid }) => pid),
    pids,
    'the same processes',
  )
  await query(cluster.port, 'CREATE TABLE kept (id int, note text) DISTRIBUTED BY (id)')
  await query(cluster.port, "INSERT INTO kept VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')")
  const settings = await query(cluster.port, 'SHOW gp_fts_probe_interval')
  test.match(Object.values(settings[0] ?? {})[0], /^2(s|000)/)
})

t.test(
  'a killed primary shows in state, recover brings it back, and then there is nothing to recover',
  async (test) => {
    process.kill(pidOf(await state(), 2), 'SIGKILL')
    const over = await until('the failover', (now) =>
      now.instances.some((row) => row.dbid === 2 && row.status === 'd'),
    )
    test.ok(
      over.cluster.problems.some(
        (problem) => problem.includes('dbid 2') && problem.includes('mirabelle recover'),
      ),
    )
    const errors = await mirabelle('state', '-e')
    test.equal(errors.status, 1)
    test.match(errors.stdout, 'Segments with Primary and Mirror Roles Switched')
    const recovered = await mirabelle('recover', '--json')
    test.equal(recovered.status, 0, recovered.stderr)
    test.match(JSON.parse(recovered.stdout), { results: [{ dbid: 2, content: 0, outcome: 'done' }] })
    const nothing = await mirabelle('recover')
    test.equal(nothing.status, 0)
    test.match(nothing.stdout, /^No segments to recover$/m)
    test.equal((await mirabelle('recover', '--dbid', '1')).status, 2)
    const unknown = await mirabelle('recover', '--accept-data-loss', '7')
    test.equal(unknown.status, 2)
    test.match(unknown.stderr, /there is no content 7 in .*, only -1, 0, 1/)
    test.equal((await query(over.cluster.port, 'SELECT id FROM kept')).length, 4)
  },
)

t.test('a host that was lost with its disk comes back empty, and its instances by a copy', async (test) => {
  const host = join(dir, 'host3')
  process.kill(Number(await readFile(join(host, 'agent.pid'), 'utf8')), 'SIGKILL')
  process.kill(pidOf(await state(), 5), 'SIGKILL')
  await rm(host, { recursive: true })
  const lost = ({ instances }: ClusterState) =>
    instances.some(({ dbid, status }) => dbid === 5 && status === 'd')
  await until('the loss of the mirror', lost)
  const recovered = await mirabelle('recover')
  test.equal(recovered.status, 0, recovered.stdout)
  test.match(recovered.stderr, `The folder of host3 is gone: making ${host} anew`)
  test.ok(existsSync(join(host, 'mirror1', 'pgdata')))
  test.match(
    (await state()).instances.find(({ dbid }) => dbid === 5),
    { mode: 's', status: 'u' },
  )
})

t.test('the standby takes over from a dead coordinator, never from one that answers', async (test) => {
  const before = await state()
  const refused = await mirabelle('standby', 'activate')
  test.equal(refused.status, 2)
  test.match(refused.stderr, /still active.*--force/)
  const standby = pidOf(before, 6)
  process.kill(standby, 'SIGSTOP')
  const hung = await mirabelle('standby', 'activate')
  process.kill(standby, 'SIGCONT')
  test.match(hung, { status: 2, stderr: /still active.*--force/ }, 'nor when the standby hangs')
  test.equal(pidOf(await until('the standby', ({ cluster }) => cluster.standby === 'streaming'), 6), standby)
  process.kill(standby, 'SIGSTOP')
  process.kill(pidOf(before, 1), 'SIGKILL')
  const headless = await mirabelle('state')
  test.equal(headless.status, 2)
  test.match(headless.stdout, 'THE COORDINATOR IS DOWN')
  const activated = await mirabelle('standby', 'activate', '--json')
  test.equal(activated.status, 0, activated.stderr)
  test.match(activated.stderr, `runs as process ${standby}, but says nothing: starting it anew`)
  const report = JSON.parse(activated.stdout) as { epoch: number }
  test.match(report, { dbid: 6, wasActive: false })
  // The activation claims epoch 2 at the segments, and records one more when it takes the role.
  test.equal(report.epoch, 3)
  const { cluster, instances } = await state()
  test.equal(cluster.epoch, report.epoch)
  test.equal(cluster.standby, 'none')
  test.notOk(
    instances.some(({ dbid }) => dbid === 1),
    'the old coordinator is out of the catalog',
  )
  test.equal((await query(cluster.port, 'SELECT id FROM kept')).length, 4)
  const again = await mirabelle('standby', 'activate')
  test.equal(again.status, 0, 'what is done already is no failure')
  const old = await mirabelle('start', '--dbid', '1')
  test.equal(old.status, 2)
  test.match(old.stderr, 'Standby activated, this node no more can act as coordinator')
})

t.test('an outdated description finds the acting coordinator by itself', async (test) => {
  const path = join(dir, 'cluster.json')
  const file = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
  await writeFile(path, JSON.stringify({ ...file, coordinatorDbid: 1, standbyDbid: 6, epoch: 1 }), {
    mode: 0o600,
  })
  const found = await mirabelle('state', '--json')
  test.equal(found.status, 0)
  test.match(found.stderr, 'dbid 6 on host2 acts as coordinator')
  await writeFile(path, JSON.stringify({ ...file, coordinatorDbid: 1, standbyDbid: 6, epoch: 1 }), {
    mode: 0o600,
  })
  test.equal((await mirabelle('stop')).status, 0)
  await writeFile(path, JSON.stringify({ ...file, coordinatorDbid: 1, standbyDbid: 6, epoch: 1 }), {
    mode: 0o600,
  })
  const started = await mirabelle('start')
  test.equal(started.status, 0, started.stderr)
  const { cluster } = await state()
  test.equal(cluster.epoch, 3)
  test.equal((await query(cluster.port, 'SELECT id FROM kept')).length, 4)
})

t.test('a smart stop ends no session: not within its time either', async (test) => {
  const { cluster } = await state()
  const { port } = cluster
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
  await client.connect()
  const stopped = await mirabelle('stop', '--mode', 'smart', '--timeout', '1')
  test.match(stopped, { status: 2, stderr: /not down after 1 s: it waits for its clients to leave/ })
  test.match((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }])
  await test.rejects(query(port, 'SELECT 1'), { code: '57P03' })
  await client.end()
  test.match(await mirabelle('stop'), { status: 0 })
  test.equal((await mirabelle('start')).status, 0)
})

t.test(
  'stop works through the coordinator and, when that is dead, through the agents; everything is there after a start',
  async (test) => {
    const pids = (await state()).instances.map(({ pid }) => pid as number)
    const coordinator = pidOf(await state(), 6)
    process.kill(coordinator, 'SIGKILL')
    const stopped = await mirabelle('stop')
    test.equal(stopped.status, 0, stopped.stderr)
    test.match(stopped.stderr, 'No coordinator answers')
    for (const pid of pids) test.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
    const nothing = await mirabelle('stop')
    test.equal(nothing.status, 0)
    test.match(nothing.stdout, 'The cluster was not running')
    test.equal((await mirabelle('start')).status, 0)
    test.equal((await query((await state()).cluster.port, 'SELECT id FROM kept')).length, 4)
  },
)

t.test('waldump prints the records that PostgreSQL wrote', async (test) => {
  const { stdout, status } = await mirabelle(
    'waldump',
    join(dir, 'host2', 'mirror0'),
    '--rmgr',
    'Heap',
    '--limit',
    '3',
  )
  test.equal(status, 0)
  test.match(stdout, /^rmgr: Heap +len \(rec\/tot\): .* lsn: 0\/[0-9A-F]{8}, .*desc: INSERT/m)
  const wrong = await mirabelle('waldump', dir, '--rmgr', 'Haep')
  test.equal(wrong.status, 2, 'no such resource manager')
  test.match(wrong.stderr, 'It must be one of XLOG, Transaction,')
})

t.test('destroy asks first, then leaves nothing behind', async (test) => {
  const { cluster, instances } = await state()
  const pids = instances.map(({ dbid }) => pidOf({ cluster, instances }, dbid))
  test.equal((await mirabelle('destroy')).status, 2)
  test.ok(existsSync(join(dir, 'cluster.json')))
  test.equal((await mirabelle('destroy', '--yes')).status, 0)
  test.notOk(existsSync(dir))
  for (const pid of pids) test.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
})
