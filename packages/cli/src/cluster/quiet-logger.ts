/** The logger of the command line: says nothing, since what matters comes back as answers and errors. */
import type { Logger } from '@mirabelle/runtime'

export const quietLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => quietLogger,
}
