/**
 * `npm run bench`: the same work on a Mirabelle cluster (two primaries, two mirrors, coordinator, standby) and, where it is installed, on a native
 * PostgreSQL pair with a synchronous standby, in one run on one machine. Prints ratios; writes .bench-results.json.
 *
 * Each workload runs for a while before it is measured: both systems begin cold, and ours compiles what is hot while it runs.
 *
 *   npm run bench -- --seconds=5 --warmup=5 --clients=1,4,16,64 --only=insertSimple,selectPrepared --no-native
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { createCluster } from 'mirabelle'
import { havePgbench, runPgbench, setupSql, workloads } from './load.mjs'
import { nativeBin, startNativePair } from './native-pair.mjs'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    warmup: { type: 'string', default: '5' },
    clients: { type: 'string', default: '1,4,16,64' },
    only: { type: 'string', default: Object.keys(workloads).join(',') },
    'no-native': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) {
  process.stdout.write(
    'usage: npm run bench -- [--seconds=N] [--warmup=N] [--clients=1,4,16,64] [--only=NAME,…] [--no-native]\n',
  )
  process.stdout.write(`workloads: ${Object.keys(workloads).join(', ')}\n`)
  process.exit(0)
}
if (!havePgbench()) {
  process.stderr.write(
    'pgbench is not installed (Debian: postgresql-contrib or postgresql-client): nothing was measured\n',
  )
  process.exit(2)
}

const seconds = Number(values.seconds)
const warmup = Number(values.warmup)
/** Clients of the runs that are not measured. */
const WARMUP_CLIENTS = 16
const clientCounts = values.clients.split(',').map(Number)
const names = values.only.split(',')
const results = []
const dir = mkdtempSync(join(tmpdir(), 'mirabelle-bench-'))
// The native server may run as another user, who has to get through this folder to its own.
chmodSync(dir, 0o711)

async function setup(port, user, distributed) {
  const client = new pg.Client({ host: '127.0.0.1', port, user, database: 'postgres' })
  await client.connect()
  for (const sql of setupSql(distributed)) await client.query(sql)
  await client.end()
}

function measure(system, port, user) {
  for (const name of names) {
    const workload = workloads[name]
    if (warmup > 0) runPgbench({ dir, port, user, workload, clients: WARMUP_CLIENTS, seconds: warmup })
    for (const clients of clientCounts) {
      const figures = runPgbench({ dir, port, user, workload, clients, seconds })
      results.push({ system, name, clients, ...figures })
      process.stderr.write(
        `${system.padEnd(10)} ${name.padEnd(15)} ${String(clients).padStart(3)} clients ${figures.tps.toFixed(0).padStart(7)}/s\n`,
      )
    }
  }
}

const cluster = await createCluster({
  dir: join(dir, 'cluster'),
  segments: 2,
  mirroring: 'group',
  standby: true,
})
try {
  const rssStartMiB = await rssMiB()
  await setup(cluster.coordinator.port, 'postgres', true)
  const rssLoadedMiB = await rssMiB()
  measure('mirabelle', cluster.coordinator.port, 'postgres')
  results.push({ system: 'mirabelle', name: 'memory', rssStartMiB, rssLoadedMiB, rssEndMiB: await rssMiB() })
} finally {
  await cluster.destroy()
}

const bin = values['no-native'] ? undefined : nativeBin()
if (bin === undefined) process.stderr.write('no native PostgreSQL here (or --no-native): no ratios\n')
else {
  const pair = await startNativePair(join(dir, 'native'), bin)
  try {
    await setup(pair.port, 'postgres', false)
    measure('native', pair.port, 'postgres')
  } finally {
    pair.stop()
  }
}
rmSync(dir, { recursive: true, force: true })

async function rssMiB() {
  const { instances } = await cluster.state()
  return instances.map((one) => Math.round((one.rss_bytes ?? 0) / 2 ** 20))
}

const find = (system, name, clients) =>
  results.find((one) => one.system === system && one.name === name && one.clients === clients)
process.stdout.write(`\ntransactions/s on ${cpus().length} cores, everything synchronous on two copies\n\n`)
process.stdout.write(
  `${'workload'.padEnd(36)}${'clients'.padStart(8)}${'mirabelle'.padStart(12)}${'native pair'.padStart(13)}${'ratio'.padStart(8)}\n`,
)
for (const name of names) {
  for (const clients of clientCounts) {
    const ours = find('mirabelle', name, clients)
    const theirs = find('native', name, clients)
    const ratio = theirs === undefined ? '' : (ours.tps / theirs.tps).toFixed(2)
    process.stdout.write(
      `${workloads[name].title.padEnd(36)}${String(clients).padStart(8)}${ours.tps.toFixed(0).padStart(12)}${(theirs?.tps.toFixed(0) ?? '–').padStart(13)}${ratio.padStart(8)}\n`,
    )
  }
}
const memory = results.find((one) => one.name === 'memory')
process.stdout.write(
  `\nmemory of the instances, MiB: after start ${memory.rssStartMiB.join(' ')}; with the tables ${memory.rssLoadedMiB.join(' ')}; after the run ${memory.rssEndMiB.join(' ')}\n`,
)
writeFileSync(
  '.bench-results.json',
  `${JSON.stringify({ at: new Date().toISOString(), cores: cpus().length, seconds, warmup, results }, null, 2)}\n`,
)
