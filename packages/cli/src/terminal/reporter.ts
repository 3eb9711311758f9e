/** Where a command writes: results on standard output, progress on standard error, so that output can be piped. */

export interface Reporter {
  /** A line of the result. */
  print(text: string): void
  /** A line of progress. */
  say(text: string): void
}

/** The terminal. */
export function terminalReporter(options: { quiet?: boolean } = {}): Reporter {
  return {
    print: (text) => void process.stdout.write(`${text}\n`),
    say: (text) => {
      if (options.quiet !== true) process.stderr.write(`${text}\n`)
    },
  }
}

/** Says nothing: for programs. */
export const silentReporter: Reporter = { print: () => undefined, say: () => undefined }
