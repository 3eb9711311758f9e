/** Entry of `npm run chaos`: reads the options, runs, prints what came out. Exit status 0 no anomaly, 1 anomalies, 2 the run could not be made. */
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { whyNoNamespaces } from '../netns/host-network.ts'
import { networkHere, runInside } from '../netns/inside.ts'
import { chaosHelp, parseChaosArgs, WrongOption } from './chaos-options.ts'
import { chaosClient, chaosHosts } from './hosts.ts'
import { summaryLines } from './report/summary.ts'
import { Interrupted, runChaos } from './run-chaos.ts'

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const remark = (line: string): void => void process.stderr.write(`${line}\n`)

async function main(): Promise<number> {
  const options = parseChaosArgs(process.argv.slice(2))
  if (options.help) {
    say(chaosHelp())
    return 0
  }
  const network = options.hosts === 'netns' ? networkHere() : undefined
  if (options.hosts === 'netns' && network === undefined) return inNamespaces()
  const interrupt = new AbortController()
  process.once('SIGINT', () => interrupt.abort())
  process.once('SIGTERM', () => interrupt.abort())
  const outDir = resolve(options.out ?? `.chaos/seed-${options.seed}`)
  const { summary, anomalies, reportPath } = await runChaos({
    ...options,
    ...(network === undefined ? {} : { network }),
    outDir,
    signal: interrupt.signal,
    tell: remark,
  })
  if (options.json) say(JSON.stringify({ ...summary, reportPath }))
  else {
    for (const line of summaryLines(summary)) say(line)
    for (const { workload, kind, summary: what, story } of anomalies)
      say([`ANOMALY ${workload} ${kind}: ${what}`, ...story].join('\n    '))
    say(`report: ${reportPath}`)
    if (anomalies.length > 0)
      say(
        `again: npm run chaos -- --hosts ${options.hosts} --seed ${options.seed} --minutes ${options.minutes}`,
      )
  }
  return anomalies.length === 0 ? 0 : 1
}

/** Clients and the administrator are on a host of their own: this program goes on there. */
async function inNamespaces(): Promise<number> {
  const why = await whyNoNamespaces()
  if (why === undefined)
    return runInside(
      [...chaosHosts, chaosClient],
      chaosClient.name,
      fileURLToPath(import.meta.url),
      process.argv.slice(2),
    )
  remark(`--hosts netns: ${why}`)
  return 2
}

try {
  process.exitCode = await main()
} catch (error) {
  const isExpected = error instanceof WrongOption || error instanceof Interrupted
  remark(isExpected ? error.message : ((error as Error).stack ?? String(error)))
  // The cluster is gone; what still waits for it is not waited for.
  process.exit(2)
}
