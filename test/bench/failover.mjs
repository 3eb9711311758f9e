/**
 * `npm run bench:failover`: how long clients wait when processes die or hang, on a cluster of real processes (two pairs, coordinator, standby) that writers keep
 * busy with default settings. Each kind of failure is done several times; the median and the worst are printed, with what clients of the other content noticed.
 * At the end every acknowledged row is counted.
 *
 *   npm run bench:failover -- --rounds=5 --writers=16 --only=kill-primary,hang-primary --json
 */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { openCluster } from 'mirabelle'
import {
  contentOf,
  describeVerdict,
  inSync,
  isFaultless,
  Load,
  TestCluster,
} from '@mirabelle/testkit/cluster'
import { run } from './command.mjs'

/** What is asked of each kind, ms. */
const KINDS = {
  'kill-primary': { what: 'kill -9 of a primary: until a write is acknowledged', askedMs: 250 },
  'kill-mirror': { what: 'kill -9 of a mirror: the longest wait', askedMs: 500 },
  'hang-primary': { what: 'SIGSTOP of a primary: until a write is acknowledged', askedMs: 5_000 },
  'hang-mirror': { what: 'SIGSTOP of a mirror: the longest wait', askedMs: 10_000 },
  'kill-pair': { what: 'kill -9 of both of a pair: until a statement is refused', askedMs: 1_000 },
  activate: {
    what: 'kill -9 of the coordinator, "standby activate": until a write is acknowledged',
    askedMs: 1_000,
  },
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    writers: { type: 'string', default: '16' },
    rest: { type: 'string', default: '0' },
    only: { type: 'string', default: Object.keys(KINDS).join(',') },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(
    `usage: npm run bench:failover -- [--rounds=N] [--writers=N] [--rest=MS] [--only=${Object.keys(KINDS).join(',')}] [--json]\n`,
  )
  process.exit(0)
}
const only = values.only.split(',')
const unknown = only.find((kind) => !(kind in KINDS))
if (unknown !== undefined) {
  process.stderr.write(`there is no kind "${unknown}": ${Object.keys(KINDS).join(', ')}\n`)
  process.exit(2)
}
const rounds = Number(values.rounds)

const cluster = await TestCluster.start({ segments: 2, standby: true })
const figures = Object.fromEntries(only.map((kind) => [kind, { waitsMs: [], othersMs: [], parts: [] }]))
let load
try {
  load = await Load.start(cluster, {
    count: Number(values.writers),
    apart: true,
    restMs: Number(values.rest),
  })
  await load.acks(5_000)
  const measure = {
    'kill-primary': killPrimary,
    'kill-mirror': killMirror,
    'hang-primary': hangPrimary,
    'hang-mirror': hangMirror,
    'kill-pair': killPair,
    activate,
  }
  for (const kind of only)
    for (let round = 0; round < rounds; round += 1) {
      await cluster.waitForCatalog('all pairs in sync', inSync)
      await load.acks(500)
      const { waitMs, otherMs, parts } = await measure[kind](round % 2)
      figures[kind].waitsMs.push(Math.round(waitMs))
      if (otherMs !== undefined) figures[kind].othersMs.push(Math.round(otherMs))
      if (parts !== undefined) figures[kind].parts.push(parts)
      process.stderr.write(
        `${kind}: ${Math.round(waitMs)} ms${otherMs === undefined ? '' : `, the other content ${Math.round(otherMs)} ms`}${parts === undefined ? '' : ` (${parts})`}\n`,
      )
    }
  await load.stop()
  const verdict = await load.judge()
  process.stderr.write(`${describeVerdict(verdict)}\n`)
  if (!isFaultless(verdict)) process.exitCode = 1
  if (values.json)
    process.stdout.write(
      `${JSON.stringify({ cores: cpus().length, load: loadavg()[0], figures, verdict }, null, 2)}\n`,
    )
  else print()
} finally {
  await load?.stop()
  await cluster.close()
}

async function killPrimary(content) {
  const { dbid } = await cluster.primaryOf(content)
  const pid = (await cluster.pids()).get(dbid)
  const at = performance.now()
  process.kill(pid, 'SIGKILL')
  return afterTakeover(content, dbid, at, () => undefined)
}

async function hangPrimary(content) {
  const { dbid } = await cluster.primaryOf(content)
  const pid = (await cluster.pids()).get(dbid)
  const at = performance.now()
  process.kill(pid, 'SIGSTOP')
  return afterTakeover(content, dbid, at)
}

async function afterTakeover(content, dbid, at) {
  await downInCatalog(dbid)
  const seenAt = performance.now()
  for (const one of [0, 1]) await load.acksOn(one, seenAt)
  // The first acknowledgement of a write begun before the death can be an answer that was on its way.
  const { endsAtMs } = load.ledger.longestGap(content, at)
  const otherMs = load.ledger.longestGap(1 - content, at, endsAtMs).gapMs
  await cluster.heal()
  return { waitMs: endsAtMs - at, otherMs }
}

async function killMirror(content) {
  return loseMirror(content, 'SIGKILL')
}
async function hangMirror(content) {
  return loseMirror(content, 'SIGSTOP')
}

async function loseMirror(content, signal) {
  const { dbid } = await cluster.mirrorOf(content)
  const pid = (await cluster.pids()).get(dbid)
  const at = performance.now()
  process.kill(pid, signal)
  await downInCatalog(dbid)
  const seenAt = performance.now()
  for (const one of [0, 1]) await load.acksOn(one, seenAt)
  const { gapMs, endsAtMs } = load.ledger.longestGap(content, at)
  const otherMs = load.ledger.longestGap(1 - content, at, endsAtMs).gapMs
  if (signal === 'SIGSTOP') process.kill(pid, 'SIGCONT')
  await cluster.heal()
  return { waitMs: gapMs, otherMs }
}

async function killPair(content) {
  const pids = await cluster.pids()
  const both = [await cluster.primaryOf(content), await cluster.mirrorOf(content)]
  const client = await cluster.connect()
  let id = 1_000_000_000
  while (contentOf(id, 2) !== content) id += 1
  const at = performance.now()
  for (const { dbid } of both) process.kill(pids.get(dbid), 'SIGKILL')
  try {
    await client.query(`INSERT INTO load VALUES (${id}, 0, 'never')`)
    throw new Error('a write to a content without instances was acknowledged')
  } catch (error) {
    if (!/content/.test(error.message)) throw error
  }
  const waitMs = performance.now() - at
  await load.acksOn(1 - content, performance.now())
  const otherMs = load.ledger.longestGap(1 - content, at).gapMs
  await client.end()
  await cluster.cluster.start()
  const backAt = performance.now()
  for (const one of [0, 1]) await load.acksOn(one, backAt)
  await cluster.heal()
  return { waitMs, otherMs }
}

async function activate() {
  const { dbid } = await cluster.primaryOf(-1)
  // The commands below change which instances there are.
  await (await openCluster(cluster.dir)).kill(dbid)
  const at = performance.now()
  await run(cluster.dir, ['standby', 'activate'])
  const endedMs = performance.now() - at
  await load.acks(1)
  const firstOf = (content) => load.ledger.acksOf(content, at).find(({ beganAtMs }) => beganAtMs > at)
  for (const one of [0, 1]) await load.acksOn(one, at, 1)
  const waitMs = Math.max(...[0, 1].map((one) => (firstOf(one)?.endedAtMs ?? performance.now()) - at))
  await run(cluster.dir, ['standby', 'init'])
  await cluster.lookAgain()
  return { waitMs, parts: `the command ended after ${Math.round(endedMs)} ms` }
}

function downInCatalog(dbid) {
  return cluster.waitForCatalog(`dbid ${dbid} down`, (rows) =>
    rows.some((row) => row.dbid === dbid && row.role === 'm' && row.status === 'd'),
  )
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]
}

function print() {
  const load = loadavg()[0].toFixed(1)
  process.stdout.write(
    `\n${cpus().length} cores (load ${load}), ${values.writers} writers, ${rounds} rounds each; ms\n\n`,
  )
  process.stdout.write('| | asked | median | worst | other content, worst |\n|---|---|---|---|---|\n')
  for (const kind of only) {
    const { what, askedMs } = KINDS[kind]
    const { waitsMs, othersMs } = figures[kind]
    const other = othersMs.length === 0 ? '' : Math.max(...othersMs)
    process.stdout.write(
      `| ${what} | ${askedMs} | ${median(waitsMs)} | ${Math.max(...waitsMs)} | ${other} |\n`,
    )
  }
}
