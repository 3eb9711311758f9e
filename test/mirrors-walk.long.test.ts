// Mirrors of a running cluster, under load: made where there were none, recovered to another host, moved by a command that is killed and run again, a host
// emptied, stopped and started; hosts that lose their power; a double fault with a loss that is counted and accepted; mirrors removed. Everything
// acknowledged is there, and the catalog says what is.
import t from 'tap'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  contentOf,
  describeVerdict,
  inSync,
  isFaultless,
  Load,
  processesBelow,
  TestCluster,
  waitFor,
  type CatalogRow,
} from '@mirabelle/testkit/cluster'

// A busy machine is slow; the limits of the single waits are much lower.
t.setTimeout(500_000)

const command = fileURLToPath(new URL('../packages/cli/bin/mirabelle.js', import.meta.url))
const cluster = await TestCluster.start({ segments: 2, mirroring: 'none', standby: false })
t.teardown(() => cluster.close())
const load = await Load.start(cluster, { count: 4, apart: true, restMs: 20 })
t.teardown(() => load.stop())
const { cluster: admin, dir } = cluster

/** The command as a process of its own. */
function mirabelle(...args: string[]) {
  const child = spawn(process.execPath, [command, ...args, '--dir', dir], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()))
  child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()))
  const ended = new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once('close', (status) => resolve({ status, stdout, stderr }))
  })
  return { child, ended, said: () => stderr }
}

const segments = async (): Promise<CatalogRow[]> =>
  (await cluster.catalog()).filter(({ content }) => content >= 0)
const mirrorOf = async (content: number): Promise<CatalogRow> =>
  (await segments()).find((row) => row.content === content && row.role === 'm') as CatalogRow
const kill = async (dbid: number): Promise<void> => void (await admin.kill(dbid))

t.test('mirrors are added while clients write; what is only planned changes nothing', async (t) => {
  await load.acks(50)
  const dry = await mirabelle('mirrors', 'add', '--dry-run', '--json').ended
  t.equal(dry.status, 0, dry.stderr)
  const { steps } = JSON.parse(dry.stdout) as {
    steps: { content: number; row: { hostname: string }; bytes: number }[]
  }
  t.match(
    steps.map(({ content, row }) => [content, row.hostname]),
    [
      [0, 'host2'],
      [1, 'host3'],
    ],
    'group: on the host after the primary',
  )
  t.ok(steps.every(({ bytes }) => bytes > 1e6))
  t.equal((await segments()).length, 2, 'nothing was changed')
  await t.rejects(
    admin.addMirrors({ input: `0|host2|65000|${dir}/host2/m0` }),
    /Wrong number of mirrors specified \(specified 1 mirror\(s\) for 2 primarie\(s\)\)/,
  )
  t.match(await admin.addMirrors(), [{ outcome: 'done' }, { outcome: 'done' }])
  const rows = await cluster.waitForCatalog('all pairs in sync', inSync)
  t.match(
    rows
      .filter(({ role }) => role === 'm')
      .map(({ content, hostname, preferred_role }) => [content, hostname, preferred_role]),
    [
      [0, 'host2', 'm'],
      [1, 'host3', 'm'],
    ],
  )
  t.equal((await admin.state()).cluster.mirroring, 'group')
  await t.rejects(admin.addMirrors(), /the cluster has mirrors already/)
  t.same([...load.ledger.errors(0)], [], 'no statement failed')
})

t.test('a lost copy gets a new place: its row moves when the new one is complete', async (t) => {
  const failed = (await segments()).find((row) => row.content === 0 && row.role === 'p') as CatalogRow
  await kill(failed.dbid)
  await cluster.waitForCatalog('a takeover of content 0', (rows) =>
    rows.some((row) => row.dbid === failed.dbid && row.role === 'm'),
  )
  const dry = await mirabelle('recover', '--dry-run').ended
  t.equal(dry.status, 0, dry.stderr)
  t.match(dry.stdout, new RegExp(`${failed.dbid} .*(Incremental|Differential) .*in-place`))
  const inPlace = await mirabelle('recover', '-i', await input(`${failed.hostname}|1|/nowhere`)).ended
  t.equal(inPlace.status, 2)
  t.match(inPlace.stderr, /A segment to recover was not found in configuration/)
  t.match(await admin.recover({ to: 'host3' }), [{ content: 0, outcome: 'done' }])
  const now = await mirrorOf(0)
  t.match(now, { hostname: 'host3', preferred_role: 'p', mode: 's', status: 'u' })
  t.not(now.dbid, failed.dbid, 'a dbid is never given away twice')
  t.notOk((await segments()).some(({ dbid }) => dbid === failed.dbid))
  t.ok(existsSync(failed.datadir), 'the folder of the lost one is left')
  // What was replaced comes back from the past: it gets no WAL, and nobody takes it for the mirror.
  await admin.startInstance(failed.dbid).catch(() => undefined) // it may end by itself: it has been replaced
  await load.acks(50)
  t.match(await mirrorOf(0), { dbid: now.dbid, mode: 's', status: 'u' })
})

t.test(
  'a move whose command is killed goes on, and the same command again follows it to its end',
  async (t) => {
    const old = await mirrorOf(1)
    const to = { port: old.port + 200, datadir: join(dir, 'host1', 'moved1') }
    const file = await input(`${old.hostname}|${old.port}|${old.datadir} host1|${to.port}|${to.datadir}`)
    const first = mirabelle('mirrors', 'move', '-i', file, '--max-rate', '8')
    await waitFor('progress of the copy', () => /full copy: .* of .* MB .* s left/.test(first.said()), 60_000)
    t.match(await mirrorOf(1), { dbid: old.dbid, mode: 's', status: 'u' }, 'the old row is true meanwhile')
    first.child.kill('SIGKILL')
    await first.ended
    const again = await mirabelle('mirrors', 'move', '-i', file).ended
    t.equal(again.status, 0, again.stderr)
    t.match(await mirrorOf(1), {
      hostname: 'host1',
      port: to.port,
      datadir: to.datadir,
      mode: 's',
      status: 'u',
    })
    t.notOk(existsSync(old.datadir), 'the folder of the old one is gone')
    const third = await mirabelle('mirrors', 'move', '-i', file).ended
    t.equal(third.status, 0, 'asked once more there is nothing to do')
  },
)

t.test('a host is emptied without a failing statement, stopped, and started again', async (t) => {
  await t.rejects(admin.stopHost('host1'), /carries the coordinator/)
  const begunAt = performance.now()
  const drained = await admin.drainHost('host2')
  t.match(
    drained.map(({ outcome }) => outcome),
    ['done', 'done'],
    `${JSON.stringify(drained)}`,
  )
  t.same([...load.ledger.errors(begunAt)], [], 'no statement failed')
  t.notOk((await segments()).some(({ hostname, role }) => hostname === 'host2' && role === 'p'))
  const stopped = await mirabelle('stop', '--host', 'host2').ended
  t.equal(stopped.status, 0, stopped.stderr)
  const rows = await cluster.waitForCatalog('host2 down', (all) =>
    all.every(({ hostname, status }) => (hostname === 'host2') === (status === 'd')),
  )
  t.equal(rows.filter(({ status }) => status === 'd').length, 2)
  await load.acks(20)
  const started = await mirabelle('host', 'start', 'host2').ended
  t.equal(started.status, 0, started.stderr)
  t.ok(inSync(await cluster.catalog()))
})

t.test('hosts that are started anew bring their instances back, none as a stale primary', async (t) => {
  const lost = (await segments()).find(
    ({ hostname, role }) => hostname !== 'host1' && role === 'p',
  ) as CatalogRow
  const host = join(dir, lost.hostname)
  for (const pid of processesBelow(host)) process.kill(pid, 'SIGKILL')
  await cluster.waitForCatalog('a takeover', (rows) =>
    rows.some(({ dbid, role }) => dbid === lost.dbid && role === 'm'),
  )
  boot(host)
  await cluster.waitForCatalog('its instances as mirrors, in sync', inSync, 60_000)
  t.match(
    (await segments()).find(({ dbid }) => dbid === lost.dbid),
    { role: 'm', status: 'u', mode: 's' },
  )
  await load.acks(20)
  // The power goes for all of them. Nobody runs a command: the agents are all that a machine starts.
  cluster.killEverything()
  for (const name of ['host1', 'host2', 'host3']) boot(join(dir, name))
  await cluster.waitForCatalog('the cluster as it was', inSync, 90_000)
  await load.acks(50)
})

t.test(
  'when only a copy that was not in sync is left, the loss is counted before it is accepted',
  async (t) => {
    await load.stop()
    const verdict = await load.judge()
    t.comment(describeVerdict(verdict))
    t.ok(isFaultless(verdict), 'until here nothing acknowledged is lost, nothing is doubled', {
      found: verdict,
    })
    const [primary, mirror] = [await cluster.primaryOf(0), await mirrorOf(0)]
    await kill(mirror.dbid)
    await cluster.waitForCatalog('a mirror that is down', (rows) =>
      rows.some(({ dbid, status }) => dbid === mirror.dbid && status === 'd'),
    )
    const before = await rowsOf(0)
    const ids = idsOf(0, 7)
    for (const id of ids) await cluster.query(`INSERT INTO load VALUES (${id}, 0, 'to be lost')`)
    await kill(primary.dbid)
    await rm(join(primary.datadir, 'pgdata', 'global', 'pg_control'))
    const refused = await mirabelle('recover').ended
    t.equal(refused.status, 2, refused.stderr)
    const lacks = /was not in sync: it lacks (\d+) transaction\(s\)/.exec(refused.stdout)
    t.ok(Number(lacks?.[1]) >= ids.length && Number(lacks?.[1]) <= ids.length + 3, refused.stdout)
    t.match(refused.stdout, /--accept-data-loss 0/)
    const accepted = await mirabelle('recover', '--accept-data-loss', '0').ended
    t.equal(accepted.status, 0, `${accepted.stdout}${accepted.stderr}`)
    t.equal(await rowsOf(0), before, 'what was told to be lost is lost, and no more')
    t.match(await cluster.waitForCatalog('both copies', inSync), [{}, {}, {}, {}, {}])
    t.equal((await cluster.primaryOf(0)).dbid, mirror.dbid)
  },
)

t.test('mirrors are removed, with their folders', async (t) => {
  const before = (await segments()).filter(({ role }) => role === 'm')
  t.match(await admin.removeMirrors(), [{ outcome: 'done' }, { outcome: 'done' }])
  t.ok((await segments()).every(({ role, preferred_role }) => role === 'p' && preferred_role === 'p'))
  t.notOk(before.some(({ datadir }) => existsSync(datadir)))
  t.equal((await admin.state()).cluster.mirroring, 'none')
})

/** What a machine does when it starts: its agent, as a service, and nothing else. */
function boot(host: string): void {
  spawn(process.execPath, [command, 'agent', '--dir', host], {
    stdio: 'ignore',
    detached: true,
    cwd: host,
  }).unref()
}

async function rowsOf(content: number): Promise<number> {
  const rows = await cluster.query<{ id: string }>('SELECT id FROM load')
  return rows.filter(({ id }) => contentOf(Number(id), 2) === content).length
}

function idsOf(content: number, count: number): number[] {
  const ids: number[] = []
  for (let id = 2_000_000_000; ids.length < count; id += 1) if (contentOf(id, 2) === content) ids.push(id)
  return ids
}

async function input(text: string): Promise<string> {
  const path = join(dir, 'mirrors.input')
  await writeFile(path, `${text}\n`)
  return path
}
