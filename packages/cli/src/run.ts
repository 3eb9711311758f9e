/** Runs one command line. Errors become one sentence on standard error and an exit status, never a stack trace when they were to be expected. */
import { CommanderError } from 'commander'
import { isMirabelleError } from '@mirabelle/messages'
import { CliError, sentenceOf } from './errors.ts'
import { createProgram } from './program.ts'
import { wasInterrupted } from './terminal/interrupt.ts'

/** Nothing was done. */
const COULD_NOT = 2

/** Resolves when the command has ended; its exit status is in `process.exitCode`. What `prepare` throws is told as an error of the command is. */
export async function run(args: readonly string[], prepare: () => void = () => undefined): Promise<void> {
  process.exitCode = 0
  const program = await createProgram(args)
  const commands = [program, ...program.commands, ...program.commands.flatMap((one) => one.commands)]
  for (const command of commands) command.exitOverride()
  try {
    prepare()
    await program.parseAsync([...args], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has said it already; help and version are no failures.
      process.exitCode = error.exitCode === 0 ? 0 : COULD_NOT
    } else if (!wasInterrupted()) {
      const expected = error instanceof CliError || isMirabelleError(error) || isRefusal(error)
      const words = expected ? sentenceOf(error) : `unexpected: ${(error as Error).stack ?? String(error)}`
      process.stderr.write(`mirabelle: ${words}\n`)
      process.exitCode = error instanceof CliError ? error.exitStatus : COULD_NOT
    }
  }
}

/** What the operating system says no to: a folder that may not be written, a disk that is full. Its words name what was done, and to which file. */
function isRefusal(error: unknown): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException
  return error instanceof Error && code !== undefined && syscall !== undefined
}
