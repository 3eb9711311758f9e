/** A logger for deciders that keeps the transitions of every cycle out of the story of the cluster. */
import type { Logger } from '@mirabelle/runtime'

/** What happens in each cycle is logged at debug level; other transitions are part of the story of the cluster. */
const ROUTINE: ReadonlySet<unknown> = new Set(['idle', 'probing'])

/** The same logger, with routine transitions at debug level. */
export function routineAtDebug(log: Logger): Logger {
  const isRoutine = (fields: object): boolean =>
    'from' in fields && 'to' in fields && ROUTINE.has(fields.from) && ROUTINE.has(fields.to)
  return {
    debug: (fields, sentence) => log.debug(fields, sentence),
    info: (fields, sentence) =>
      isRoutine(fields) ? log.debug(fields, sentence) : log.info(fields, sentence),
    warn: (fields, sentence) => log.warn(fields, sentence),
    error: (fields, sentence) => log.error(fields, sentence),
    child: (fields) => routineAtDebug(log.child(fields)),
  }
}
