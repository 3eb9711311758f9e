/**
 * What `npm run bench:administration` measures. Each step breaks the cluster in its own way, runs the command that mends it as a process, and leaves the
 * cluster whole for the next one; together they are the life of a pair and of a standby coordinator.
 */
import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { inSync, processesBelow, waitFor } from '@mirabelle/testkit/cluster'
import { cpuOfProcess, run } from './command.mjs'

export const STEPS = ['mirror', 'primary', 'rebalance', 'diverged', 'full', 'standby', 'activate']

/** WAL that a primary writes and its hanging mirror does not get, bytes: more than sockets hold. */
const DIVERGED_BYTES = 12e6

export class AdministrationSteps {
  figures = []
  #cluster
  #load
  #options

  constructor(cluster, load, options) {
    this.#cluster = cluster
    this.#load = load
    this.#options = options
  }

  async mirror() {
    const { dbid } = await this.#cluster.mirrorOf(0)
    await this.#cluster.cluster.kill(dbid)
    await this.#waitUntilDown(dbid)
    await this.#insert(this.#options.rows)
    await this.#measure('recover, a mirror that missed the rows', 1.5, ['recover'])
  }

  async primary() {
    const { dbid } = await this.#cluster.primaryOf(0)
    const killedAt = performance.now()
    await this.#cluster.cluster.kill(dbid)
    const first = await this.#firstWrite(killedAt)
    const seconds = (first.endedAtMs - killedAt) / 1000
    this.#add({ what: 'kill -9 of a primary, until a write is acknowledged', asked: 0.25, seconds })
    await this.#waitUntilDown(dbid)
    await this.#insert(this.#options.rows)
    await this.#measure('recover, a primary that missed the rows', 1.5, ['recover'])
  }

  async rebalance() {
    const catalog = await this.#cluster.catalog()
    if (!catalog.some(({ role, preferred_role }) => role !== preferred_role)) {
      const { dbid } = await this.#cluster.primaryOf(0)
      const killedAt = performance.now()
      await this.#cluster.cluster.kill(dbid)
      await this.#waitUntilDown(dbid)
      await this.#firstWrite(killedAt)
      await this.#cluster.heal()
    }
    await this.#load.acks(50)
    const since = performance.now()
    const figure = await this.#measure('rebalance, one pair', 1, ['rebalance'])
    await this.#load.acks(20)
    const { ledger } = this.#load
    const failed = [...ledger.errors(since).values()].reduce((sum, count) => sum + count, 0)
    figure.note = `${failed} statements failed, the longest waited ${Math.round(ledger.longestGap(0, since).gapMs)} ms`
  }

  /** The mirror hangs, its primary goes on with WAL that the mirror never gets, and dies; the mirror wakes up and takes over. */
  async diverged() {
    const patience = ['wal_sender_timeout', 'wal_receiver_timeout', 'gp_fts_mark_mirror_down_grace_period']
    await this.#insert(this.#options.rows)
    for (const name of patience) await this.#cluster.query(`ALTER SYSTEM SET ${name} = '60s'`)
    const primary = await this.#cluster.primaryOf(0)
    const mirror = await this.#cluster.mirrorOf(0)
    // One statement that is under way when the mirror hangs: its segment waits for the mirror only at its end. It fails when its segment dies.
    const client = await this.#cluster.connect()
    const ended = () => client.end().catch(() => undefined)
    const doomed = client.query('UPDATE bulk SET v = v + 1').then(ended, ended)
    await this.#hasWritten(primary.dbid, DIVERGED_BYTES / 16)
    await this.#cluster.cluster.kill(mirror.dbid, 'SIGSTOP')
    await this.#hasWritten(primary.dbid, DIVERGED_BYTES)
    await this.#cluster.cluster.kill(primary.dbid)
    await this.#cluster.cluster.kill(mirror.dbid, 'SIGCONT')
    await this.#waitUntilDown(primary.dbid)
    await doomed
    for (const name of patience) await this.#cluster.query(`ALTER SYSTEM RESET ${name}`)
    await this.#insert(this.#options.rows)
    const figure = await this.#measure('recover, a primary that diverged', 3, ['recover'])
    figure.note = figure.said
      .split('\n')
      .find((line) => / done | failed /.test(line))
      ?.trim()
  }

  async full() {
    const { dbid, datadir } = await this.#cluster.mirrorOf(0)
    const base = (await this.#cluster.primaryOf(0)).datadir
    const lacking = this.#options.fullBytes - sizeOf(join(base, 'pgdata', 'base'))
    // A kilobyte a row, every second one on this content.
    if (lacking > 0) await this.#insert(Math.ceil(lacking / 550), `repeat(md5(i::text), 32)`)
    await this.#cluster.cluster.kill(dbid)
    await this.#waitUntilDown(dbid)
    const figure = await this.#measure('recover --full', 6, ['recover', '--full'])
    figure.note = `${Math.round(sizeOf(join(datadir, 'pgdata')) / 1e6)} MB`
  }

  async standby() {
    await run(this.#cluster.dir, ['standby', 'remove'])
    await this.#measure('standby init', 3, ['standby', 'init'])
  }

  async activate() {
    const { cluster } = this.#cluster
    await cluster.kill(cluster.coordinator.dbid)
    const since = performance.now()
    await this.#measure('standby activate', 1, ['standby', 'activate'], () => this.#load.acksOn(0, since, 1))
  }

  #add(figure) {
    this.figures.push(figure)
    process.stderr.write(`${figure.what}: ${figure.seconds.toFixed(2)} s\n`)
    return figure
  }

  /** The first write on content 0 that was begun after it and acknowledged. */
  #firstWrite(since) {
    return waitFor('a write after the failover', () =>
      this.#load.ledger.acksOf(0, since).find(({ beganAtMs }) => beganAtMs > since),
    )
  }

  #waitUntilDown(dbid) {
    const isDown = (rows) => rows.some((row) => row.dbid === dbid && row.status === 'd')
    return this.#cluster.waitForCatalog(`dbid ${dbid} marked down`, isDown, 60_000)
  }

  async #insert(count, pad = `'x'`) {
    const [{ last }] = await this.#cluster.query('SELECT coalesce(max(id), 0) AS last FROM bulk')
    await this.#cluster.query(insertSql(Number(last), count, pad))
  }

  /** Waits until a primary has so many more bytes of WAL. */
  async #hasWritten(dbid, bytes) {
    const { endpoint } = this.#cluster.instance(dbid)
    const flushed = async () => (await this.#cluster.ask(endpoint, { type: 'instance.status' })).flushLsn
    const from = await flushed()
    await waitFor(`${bytes} bytes of WAL`, async () => (await flushed()) > from + bytes, 120_000)
  }

  /** Runs the command and waits until all is well again: the figure is both. */
  async #measure(what, asked, args, settled = () => this.#settled()) {
    const before = cpuOf(this.#cluster.dir)
    const beganAt = performance.now()
    const { cpu, stdout } = await run(this.#cluster.dir, args)
    await settled()
    const seconds = (performance.now() - beganAt) / 1000
    const after = cpuOf(this.#cluster.dir)
    let clusterCpu = 0
    for (const [pid, used] of after) clusterCpu += used - (before.get(pid) ?? 0)
    return this.#add({ what, asked, seconds, commandCpu: cpu, clusterCpu, said: stdout })
  }

  #settled() {
    return this.#cluster.waitForCatalog('all pairs in sync', inSync, 120_000)
  }
}

function insertSql(last, count, pad = `'x'`) {
  return `INSERT INTO bulk SELECT ${last} + i, i % 1000, ${pad} FROM generate_series(1, ${count}) i`
}

/** Processor time of every process of the cluster so far, s. */
function cpuOf(dir) {
  return new Map(processesBelow(dir).map((pid) => [pid, cpuOfProcess(pid) ?? 0]))
}

function sizeOf(path) {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return 0
  if (!stat.isDirectory()) return stat.size
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0)
}
