/** Entry of `npm run chaos`: reads the options, runs, prints what came out. Exit status 0 no anomaly, 1 anomalies, 2 the run could not be made. */
import { resolve } from 'node:path'
import { chaosHelp, parseChaosArgs, WrongOption } from './chaos-options.ts'
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
  const interrupt = new AbortController()
  process.once('SIGINT', () => interrupt.abort())
  process.once('SIGTERM', () => interrupt.abort())
  const outDir = resolve(options.out ?? `.chaos/seed-${options.seed}`)
  const { summary, anomalies, reportPath } = await runChaos({
    ...options,
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
      say(`again: npm run chaos -- --seed ${options.seed} --minutes ${options.minutes}`)
  }
  return anomalies.length === 0 ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  const isExpected = error instanceof WrongOption || error instanceof Interrupted
  remark(isExpected ? error.message : ((error as Error).stack ?? String(error)))
  // The cluster is gone; what still waits for it is not waited for.
  process.exit(2)
}
