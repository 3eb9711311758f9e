/** What the command line says when it cannot do something. Sentences name the subject and the next step; there is never a stack trace. */

/** Exit status: 1 = partly done, 2 = could not. */
export type FailureStatus = 1 | 2

/** An expected failure of a command. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly exitStatus: FailureStatus

  constructor(message: string, options: { cause?: unknown; exitStatus?: FailureStatus } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.exitStatus = options.exitStatus ?? 2
  }
}

/** The sentence of anything that was thrown. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
