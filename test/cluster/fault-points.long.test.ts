/** Fault points: every name stands where the catalogue says; and a short story of real processes that stop, die and go on there. */
import t from 'tap'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { FaultRow } from '@mirabelle/messages'
import { FaultPoints, inSync, TestCluster, waitFor } from '@mirabelle/testkit/cluster'

// A busy machine starts a cluster slowly; the limits of the single waits are much lower.
t.setTimeout(300_000)

const command = fileURLToPath(new URL('../../packages/cli/bin/mirabelle.js', import.meta.url))

/** The command as a process of its own, with fault points of its own. */
function mirabelle(dir: string, faults: string, ...args: string[]) {
  const env = { ...process.env, MIRABELLE_DIR: dir, MIRABELLE_FAULT_POINTS: faults }
  const child = spawn(process.execPath, [command, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return new Promise<{ status: number | null; signal: string | null; stdout: string; stderr: string }>(
    (resolve) => {
      child.once('close', (status, signal) => resolve({ status, signal, stdout, stderr }))
    },
  )
}

t.test('real processes stop, die and go on at their fault points', async (t) => {
  FaultPoints.allow()
  const cluster = await TestCluster.start({ segments: 1 })
  t.teardown(() => cluster.close())
  const faults = new FaultPoints(cluster)
  await cluster.query('CREATE TABLE rows (id int) DISTRIBUTED BY (id)')
  await cluster.waitForCatalog('the pair in sync', inSync)
  const [primary, mirror] = [await cluster.primaryOf(0), await cluster.mirrorOf(0)]

  // A mirror goes while a commit waits: the catalog has it first, then the commit goes on.
  await faults.inject(1, 'fts.mirror-down.after', 'suspend')
  await cluster.cluster.kill(mirror.dbid)
  const client = await cluster.connect()
  t.teardown(() => client.end())
  let over = false
  const write = client.query('INSERT INTO rows VALUES (1)').finally(() => (over = true))
  const waited = await mirabelle(
    cluster.dir,
    'allow',
    ...['fault', 'wait', 'fts.mirror-down.after', '--dbid', '1', '--json'],
  )
  t.match(JSON.parse(waited.stdout) as { faults: FaultRow[] }, {
    faults: [{ point: 'fts.mirror-down.after', state: 'completed', hits: 1, suspended: 1 }],
  })
  t.match(await cluster.mirrorOf(0), { status: 'd', mode: 'n' })
  t.equal(over, false, 'the commit waits although the catalog has it')
  await faults.resume(1, 'fts.mirror-down.after')
  await write

  // The command is killed when it has asked for the recovery; the same command again follows it.
  const killed = await mirabelle(cluster.dir, 'receive.cluster.done=crash,in=cli', 'recover')
  t.equal(killed.signal, 'SIGKILL', killed.stdout)
  t.match(killed.stderr, /fault point receive\.cluster\.done: crash/)
  await cluster.cluster.recover()
  await cluster.waitForCatalog('the pair in sync', inSync)

  // A command that is killed while the coordinator does its work is run again, and told how that ended.
  const lost = await mirabelle(cluster.dir, 'receive.cluster.done=crash,in=cli', 'standby', 'remove')
  t.equal(lost.signal, 'SIGKILL')
  const removed = await mirabelle(cluster.dir, 'allow', 'standby', 'remove')
  t.equal(removed.status, 0, removed.stderr)
  t.match(removed.stdout, /was removed, as an interrupted remove had begun to/)
  t.equal((await mirabelle(cluster.dir, 'allow', 'standby', 'remove')).status, 2, 'now there is none')

  // PROMOTE is lost, and sent again.
  await faults.inject(mirror.dbid, 'receive.segment.promote', 'skip')
  await cluster.cluster.kill(primary.dbid)
  await faults.reached(mirror.dbid, 'receive.segment.promote', 2)
  await client.query('INSERT INTO rows VALUES (2)')
  t.match(await client.query('SELECT id FROM rows ORDER BY id'), { rows: [{ id: 1 }, { id: 2 }] })

  // A checkpoint is killed in the thread of PostgreSQL: the content is down, and comes back whole.
  await faults.inject(mirror.dbid, 'fsync.data.before', 'crash', { start: 3 })
  await client.query('CHECKPOINT').catch(() => undefined) // its server dies
  await waitFor('its end', async () => !(await cluster.pids()).has(mirror.dbid))
  await cluster.cluster.start()
  t.match(await cluster.query('SELECT id FROM rows ORDER BY id'), [{ id: 1 }, { id: 2 }])
})
