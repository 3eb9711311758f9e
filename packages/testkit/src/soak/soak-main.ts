/** Entry of `npm run soak`: reads the options, runs, prints what came out. Exit status 0 nothing grew and nothing was lost, 1 something did, 2 no run. */
import { parseSoakArgs, soakHelp, WrongOption } from './soak-options.ts'
import { runSoak, type SoakSummary } from './run-soak.ts'

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const remark = (line: string): void => void process.stderr.write(`${line}\n`)

async function main(): Promise<number> {
  const options = parseSoakArgs(process.argv.slice(2))
  if (options.help) {
    say(soakHelp)
    return 0
  }
  const summary = await runSoak({ ...options, tell: remark })
  if (options.json) say(JSON.stringify(summary))
  else for (const line of linesOf(summary)) say(line)
  return summary.grown.length + summary.wrong.length === 0 ? 0 : 1
}

function linesOf({ statements, failovers, seconds, errors, wrong, grown }: SoakSummary): string[] {
  const told = Object.entries(errors).map(([code, times]) => `${times} × ${code}`)
  return [
    `${statements} statements acknowledged through ${failovers} failovers in ${seconds} s`,
    `not acknowledged: ${told.length === 0 ? 'none' : told.join(', ')}`,
    ...wrong.map((sentence) => `WRONG: ${sentence}`),
    ...grown.map((sentence) => `GROWN: ${sentence}`),
    wrong.length + grown.length === 0 ? 'OK: nothing lost, nothing grown' : 'FAILED',
  ]
}

try {
  process.exitCode = await main()
} catch (error) {
  remark(error instanceof WrongOption ? error.message : ((error as Error).stack ?? String(error)))
  process.exitCode = 2
}
