/** Entry of the `mirabelle` command. Errors become one sentence on standard error and an exit status; Ctrl-C undoes what is half done. */
import { CommanderError } from 'commander'
import { isMirabelleError } from '@mirabelle/messages'
import { CliError, sentenceOf } from './errors.ts'
import { createProgram } from './program.ts'
import { installInterrupts, wasInterrupted } from './terminal/interrupt.ts'

/** The command line was not understood: nothing was done. */
const COULD_NOT = 2

installInterrupts()
const program = createProgram()
for (const command of [program, ...program.commands, ...program.commands.flatMap((one) => one.commands)])
  command.exitOverride()

try {
  await program.parseAsync(process.argv)
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said it already; help and version are no failures.
    process.exitCode = error.exitCode === 0 ? 0 : COULD_NOT
  } else if (!wasInterrupted()) {
    const expected = error instanceof CliError || isMirabelleError(error)
    process.stderr.write(
      `mirabelle: ${expected ? sentenceOf(error) : `unexpected: ${(error as Error).stack ?? String(error)}`}\n`,
    )
    process.exitCode = error instanceof CliError ? error.exitStatus : COULD_NOT
  }
}
