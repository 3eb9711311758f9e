/** Fault points of a running process, for tests (docs/fault-points.md). Purpose `control`; refused unless the process was started with fault points allowed. */
import { define } from './define.ts'
import * as f from './field.ts'

/** What happens at a point: Greenplum's suspend, error, panic (here crash: SIGKILL of itself), sleep, skip. */
export const faultActions = ['suspend', 'error', 'crash', 'sleep', 'skip'] as const
export type FaultAction = (typeof faultActions)[number]

export const faultMessages = {
  'fault.inject': define('Let this happen when the point is reached.', 'ok', {
    point: f.text('name of a fault point'),
    action: f.oneOf(faultActions, 'what happens there'),
    startOccurrence: f.uint('from this time on that it is reached, 1 and up'),
    endOccurrence: f.int('up to this time; -1 = always'),
    sleepMs: f.uint('how long `sleep` waits'),
    content: f.nullable(f.content('only when the point is about this content')),
  }),
  'fault.resume': define('Let go on what is suspended at the point, and do not suspend there again.', 'ok', {
    point: f.text('name of a fault point'),
  }),
  'fault.reset': define('Forget the fault; what is suspended there goes on.', 'ok', {
    point: f.nullable(f.text('name of a fault point; null = all')),
  }),
  'fault.wait': define(
    'Answer when the point has been reached so often since its fault was set.',
    'fault.statusIs',
    {
      point: f.text('name of a fault point'),
      hits: f.uint('so often'),
      timeoutMs: f.uint('answered with an error after so long'),
    },
  ),
  'fault.status': define('Which faults are set, and how do they stand?', 'fault.statusIs', {}),
  'fault.statusIs': define('The faults of this process.', null, {
    faults: f.json<readonly FaultRow[]>('a row per fault'),
  }),
} as const

/** A fault and how it stands. */
export interface FaultRow {
  /** Name of the fault point. */
  readonly point: string
  readonly action: FaultAction
  /** It happens from this time on that the point is reached, 1 and up. */
  readonly startOccurrence: number
  /** And up to this one; -1 = always. */
  readonly endOccurrence: number
  /** How long `sleep` waits, ms. */
  readonly sleepMs: number
  /** Only when the point is about this content; null = about any. */
  readonly content: number | null
  /** `set` = not reached yet, `triggered` = has happened and may again, `completed` = will not happen any more. */
  readonly state: 'set' | 'triggered' | 'completed'
  /** How often the point was reached since the fault was set (Greenplum: num times hit). */
  readonly hits: number
  /** How many are suspended there now. */
  readonly suspended: number
}
