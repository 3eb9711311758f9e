/**
 * `npm run bench:administration`: how long the commands that mend a cluster take, on a cluster of real processes (two pairs, coordinator, standby) that
 * writers keep busy. A figure is the whole command, from the start of its process until it has ended and the catalog has the pair in sync; beside it the
 * processor time that command and cluster took meanwhile, which tells more on a machine that others use, too.
 *
 *   npm run bench:administration -- --rows=1000000 --full-mb=400 --only=mirror,primary,rebalance,diverged,full,standby,activate --json
 */
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { Load, TestCluster } from '@mirabelle/testkit/cluster'
import { AdministrationSteps, STEPS } from './administration-steps.mjs'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    'full-mb': { type: 'string', default: '400' },
    only: { type: 'string', default: STEPS.join(',') },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(
    `usage: npm run bench:administration -- [--rows=N] [--full-mb=N] [--only=${STEPS.join(',')}] [--json]\n`,
  )
  process.exit(0)
}
const only = values.only.split(',')
const unknown = only.find((step) => !STEPS.includes(step))
if (unknown !== undefined) {
  process.stderr.write(`there is no step "${unknown}": ${STEPS.join(', ')}\n`)
  process.exit(2)
}

const cluster = await TestCluster.start({ segments: 2, standby: true })
let figures
try {
  await cluster.query('CREATE TABLE bulk (id bigint, v int, pad text) DISTRIBUTED BY (id)')
  const load = await Load.start(cluster, { count: 4, apart: true })
  await load.acks(200)
  const steps = new AdministrationSteps(cluster, load, {
    rows: Number(values.rows),
    fullBytes: Number(values['full-mb']) * 1e6,
  })
  for (const step of STEPS.filter((name) => only.includes(name))) await steps[step]()
  figures = steps.figures
  await load.stop()
  const { lost, doubled } = await load.judge()
  if (lost.length + doubled.length > 0)
    throw new Error(`${lost.length} rows lost, ${doubled.length} doubled: ${lost.slice(0, 5).join(' ')}`)
} finally {
  await cluster.close()
}

if (values.json) process.stdout.write(`${JSON.stringify({ cores: cpus().length, figures }, null, 2)}\n`)
else print()

function print() {
  process.stdout.write(
    `\n${cpus().length} cores, four writers; s: until in sync; command, cluster: processor time, s\n\n`,
  )
  process.stdout.write(
    `${'what'.padEnd(52)}${'asked'.padStart(7)}${'s'.padStart(8)}${'command'.padStart(9)}${'cluster'.padStart(9)}  note\n`,
  )
  for (const { what, asked, seconds, commandCpu, clusterCpu, note } of figures)
    process.stdout.write(
      `${what.padEnd(52)}${String(asked).padStart(7)}${seconds.toFixed(2).padStart(8)}${cpu(commandCpu)}${cpu(clusterCpu)}  ${note ?? ''}\n`,
    )
}

function cpu(seconds) {
  return (seconds?.toFixed(2) ?? '').padStart(9)
}
