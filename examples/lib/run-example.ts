/** Runs the main function of an example: its result is the exit status, its error is one line on standard error. */
import { Interrupted } from './with-cluster.ts'

/** Exit status 0 when `main` resolves with true, 1 when with false or rejected, 130 after Ctrl-C. */
export async function runExample(main: () => Promise<boolean>): Promise<void> {
  try {
    process.exitCode = (await main()) ? 0 : 1
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = error instanceof Interrupted ? 130 : 1
  }
}

/** A printer of lines with the time since its making in seconds: `  1.23  text`. */
export function storyteller(): (line: string) => void {
  const begunAt = performance.now()
  return (line) =>
    process.stdout.write(`${((performance.now() - begunAt) / 1000).toFixed(2).padStart(6)} s  ${line}\n`)
}
