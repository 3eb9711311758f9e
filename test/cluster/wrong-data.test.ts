// A second process on a data directory, a foreign data directory as mirror, WAL damaged on its way and on the mirror's disk: refused or
// detected, named, and nothing acknowledged is lost.
import t, { type Test } from 'tap'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { agentScript } from '@mirabelle/agent'
import {
  BitFlipper,
  describeVerdict,
  inSync,
  isFaultless,
  Load,
  LogWatch,
  TestCluster,
  waitFor,
} from '@mirabelle/testkit/cluster'

const WAL_SEGMENT_BYTES = 1024 * 1024
const run = promisify(execFile)

// A busy machine starts a cluster slowly; the limits of the single waits are much lower.
t.setTimeout(300_000)

t.test('wrong or damaged data is refused, and nothing acknowledged is lost', async (t) => {
  const cluster = await TestCluster.start({ segments: 2 })
  t.teardown(() => cluster.close())
  const files = await mkdtemp(join(tmpdir(), 'mirabelle-wrong-'))
  t.teardown(() => rm(files, { recursive: true, force: true }))
  const load = await Load.start(cluster, { count: 8, apart: true })
  t.teardown(() => load.stop())
  await cluster.waitForCatalog('all pairs in sync', inSync)
  await load.acks(100)

  await t.test('a second process on a data directory is refused', async (t) => {
    const primary = await cluster.primaryOf(0)
    const pid = (await cluster.pids()).get(primary.dbid)
    const assignment = await cluster.lastAssignment(primary.dbid)
    const start = join(files, 'start.json')
    await writeFile(start, JSON.stringify({ ...assignment, listen: { ...assignment.listen, port: 0 } }))
    const script = fileURLToPath(new URL('instance-main.js', agentScript))
    const hostDir = cluster.facts.hosts.find(({ name }) => name === primary.hostname)?.dir as string
    const error: unknown = await run(process.execPath, [script, '--host-dir', hostDir, '--start', start], {
      timeout: 60_000,
    }).catch((caught: unknown) => caught)
    t.match(error, { code: 1 }, 'it ends with status 1')
    t.match(
      (error as { stderr: string }).stderr,
      new RegExp(`${pid}`),
      'and names the process that has the folder',
    )
    t.comment((error as { stderr: string }).stderr.trim())
    t.equal((await cluster.pids()).get(primary.dbid), pid, 'the first process goes on')
    await load.acksOn(0, performance.now())
  })

  await t.test('a foreign data directory is refused as mirror', async (t) => {
    const [mirror, other] = [await cluster.mirrorOf(0), await cluster.mirrorOf(1)]
    const assignment = await cluster.lastAssignment(mirror.dbid)
    await down(cluster, mirror.dbid)
    await down(cluster, other.dbid)
    const log = await LogWatch.of(...cluster.logsOf(other.dbid))
    await cluster.ask(cluster.agentOf(mirror.dbid), {
      type: 'agent.start',
      assignment: { ...assignment, datadir: other.datadir },
    })
    await waitFor('its end', async () => !(await cluster.pids()).has(mirror.dbid))
    const lines = (await log.lines()).join('\n')
    t.match(lines, /content 1/, 'the log names the content that the folder belongs to')
    t.comment(lines.split('\n').at(-1))
    await load.acksOn(0, performance.now())
    await cluster.heal()
  })

  await t.test('a mirror does not follow the primary of another content', async (t) => {
    const [mirror, stranger] = [await cluster.mirrorOf(0), await cluster.primaryOf(1)]
    const assignment = await cluster.lastAssignment(mirror.dbid)
    await down(cluster, mirror.dbid)
    const log = await LogWatch.of(...cluster.logsOf(mirror.dbid))
    const peer = { dbid: stranger.dbid, endpoint: cluster.instance(stranger.dbid).endpoint }
    await cluster.ask(cluster.agentOf(mirror.dbid), {
      type: 'agent.start',
      assignment: { ...assignment, peer },
    })
    await waitFor('a refusal in the log', async () => (await log.matching(/content 1/)).length > 0)
    const row = (await cluster.catalog()).find(({ dbid }) => dbid === mirror.dbid)
    t.match(row, { mode: 'n', status: 'd' }, 'it stays down')
    await cluster.ask(cluster.agentOf(mirror.dbid), {
      type: 'agent.stop',
      dbid: mirror.dbid,
      mode: 'immediate',
    })
    await cluster.heal()
  })

  await t.test('WAL damaged on its way is not acknowledged, and fetched again', async (t) => {
    const [mirror, primary] = [await cluster.mirrorOf(0), await cluster.primaryOf(0)]
    const assignment = await cluster.lastAssignment(mirror.dbid)
    const proxy = await BitFlipper.start(cluster.instance(primary.dbid).endpoint.port)
    t.teardown(() => proxy.close())
    await down(cluster, mirror.dbid)
    const log = await LogWatch.of(...cluster.logsOf(mirror.dbid))
    const peer = { dbid: primary.dbid, endpoint: { addresses: ['127.0.0.1'], port: proxy.port } }
    await cluster.ask(cluster.agentOf(mirror.dbid), {
      type: 'agent.start',
      assignment: { ...assignment, peer },
    })
    await cluster.waitForCatalog('the pair in sync through the proxy', inSync, 60_000)
    await load.acks(50)
    for (let round = 1; round <= 3; round += 1) {
      // Big enough to be WAL, not a heartbeat.
      proxy.damage(1, 300)
      await waitFor(`damage ${round}`, () => proxy.damaged >= round)
      await cluster.waitForCatalog('the pair in sync again', inSync, 60_000)
      await load.acksOn(0, performance.now())
    }
    const found = await log.matching(/CRC|corrupt|frame\.bad|message\.bad|not valid/i)
    t.ok(found.length > 0, 'the mirror says what it found')
    t.comment(found.map((line) => message(line)).join(' | '))
    await takeOver(t, cluster, load, 0)
    await cluster.heal()
  })

  await t.test("WAL damaged on the mirror's disk is found and fetched again, or named", async (t) => {
    const mirror = await cluster.mirrorOf(1)
    // So much WAL that a whole segment lies before the newest one: PostgreSQL keeps a copy of those that it has replayed.
    await cluster.query('CREATE TABLE wide (id bigint, note text) DISTRIBUTED BY (id)')
    for (let part = 0; part < 4; part += 1) {
      const rows = Array.from(
        { length: 1000 },
        (_, i) => `(${part * 1000 + i}, '${randomBytes(512).toString('hex')}')`,
      )
      await cluster.query(`INSERT INTO wide VALUES ${rows.join(', ')}`)
    }
    await load.acks(300)
    const pid = (await cluster.pids()).get(mirror.dbid) as number
    process.kill(pid, 'SIGKILL')
    await cluster.waitForCatalog('the mirror down', (all) =>
      all.some(({ dbid, status }) => dbid === mirror.dbid && status === 'd'),
    )
    const state = (await cluster.cluster.state()).instances.find(
      ({ content, role }) => content === 1 && role === 'p',
    )
    t.ok(state?.lsn, 'where the primary is')
    const lsn = Number.parseInt((state?.lsn as string).split('/')[1] as string, 16)
    const damagedFile = await flipByte(join(mirror.datadir, 'wal'), state?.timeline as number, lsn)
    t.comment(`damaged ${damagedFile.name} at ${damagedFile.at}`)
    const log = await LogWatch.of(...cluster.logsOf(mirror.dbid))
    await cluster.heal()
    const found = await log.matching(/CRC|corrupt|damaged|not valid/i)
    t.ok(found.length > 0, 'the mirror says what it found')
    t.comment(found.map((line) => message(line)).join(' | '))
    await takeOver(t, cluster, load, 1)
  })

  await load.stop()
  const verdict = await load.judge()
  t.comment(`${describeVerdict(verdict)}; ${JSON.stringify([...load.ledger.errors()])}`)
  t.ok(isFaultless(verdict), 'nothing acknowledged is lost, nothing is doubled', { found: verdict })
})

/** Ends the process of a mirror and waits until the catalog has it as down. */
async function down(cluster: TestCluster, dbid: number): Promise<void> {
  process.kill((await cluster.pids()).get(dbid) as number, 'SIGKILL')
  await cluster.waitForCatalog(`dbid ${dbid} to be down`, (all) =>
    all.some((row) => row.dbid === dbid && row.status === 'd'),
  )
}

/** Kills the primary, so that its mirror must have everything. */
async function takeOver(t: Test, cluster: TestCluster, load: Load, content: number): Promise<void> {
  await cluster.waitForCatalog('all pairs in sync', inSync)
  const { dbid } = await cluster.primaryOf(content)
  process.kill((await cluster.pids()).get(dbid) as number, 'SIGKILL')
  const rows = await cluster.waitForCatalog('a takeover', (all) =>
    all.some((row) => row.dbid === dbid && row.role === 'm'),
  )
  await load.acksOn(content, performance.now())
  t.ok(
    rows.some((row) => row.content === content && row.role === 'p' && row.dbid !== dbid),
    'its mirror takes over',
  )
}

/** Flips a byte in the middle of the last whole WAL file before the newest one. */
async function flipByte(dir: string, timeline: number, lsn: number): Promise<{ name: string; at: number }> {
  const hex = (value: number) => value.toString(16).toUpperCase().padStart(8, '0')
  const name = `${hex(timeline)}${hex(0)}${hex(Math.floor(lsn / WAL_SEGMENT_BYTES) - 1)}`
  const at = WAL_SEGMENT_BYTES / 2
  const file = await open(join(dir, name), 'r+')
  try {
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, at)
    byte[0] = (byte[0] as number) ^ 0x10
    await file.write(byte, 0, 1, at)
  } finally {
    await file.close()
  }
  return { name, at }
}

/** What a line of a log says. */
function message(line: string): string {
  try {
    const { msg, error } = JSON.parse(line) as { msg?: string; error?: string }
    return [msg, error].filter((one) => one !== undefined).join(' ')
  } catch {
    return line
  }
}
