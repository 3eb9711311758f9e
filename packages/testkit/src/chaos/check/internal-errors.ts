/** What no client may be told, whatever was done to the cluster: PostgreSQL's class XX, an internal error or data that is not what it was. Pure. */
import type { Op } from '../history/op.ts'
import { fewOfEachKind, seconds, type Anomaly } from './anomaly.ts'

const INTERNAL = /^XX/

export function internalErrors(ops: readonly Op[]): Anomaly[] {
  return fewOfEachKind(
    ops
      .filter(({ error }) => error !== undefined && INTERNAL.test(error))
      .map(({ process, workload, f, timeMs, error }) => {
        const summary = `process ${process} was told ${error}`
        const story = [`${f} of ${workload} at ${seconds(timeMs)}`]
        return { workload: 'cluster', kind: 'internal-error', summary, story, timesMs: [timeMs] }
      }),
  )
}
