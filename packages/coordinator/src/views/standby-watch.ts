/**
 * The one row of gp_master_mirroring (HAWQ): how the standby is, since when, and why. One per coordinator: it remembers the last change, told by the
 * stream itself when it happens.
 */
import type { ClusterState, InstanceStateRow } from '@mirabelle/messages'
import type { Clock } from '@mirabelle/runtime'
import type { StandbySummary } from './live-views.ts'

export type StandbyState = ClusterState['cluster']['standby']

const SUMMARY = {
  none: 'Not Configured',
  streaming: 'Synchronized',
  catchup: 'Synchronizing',
  down: 'Not Synchronized',
} as const satisfies Record<StandbyState, StandbySummary['summary']>

/** As long as HAWQ's column. */
const ERROR_MESSAGE_LENGTH = 200

export class StandbyWatch {
  readonly #clock: Pick<Clock, 'now'>
  #state: StandbyState | undefined
  #changedAt: number | null = null

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  /** The standby's stream has begun, caught up or ended, or there is no standby any more. */
  is(state: StandbyState): void {
    if (state === this.#state) return
    this.#state = state
    this.#changedAt = this.#clock.now()
  }

  /** The row, with what was just seen of the instances. */
  summary(state: StandbyState, instances: readonly InstanceStateRow[]): StandbySummary {
    this.is(state)
    const row = instances.find(({ content, role }) => content === -1 && role === 'm')
    const why = state === 'down' ? (row?.detail ?? '') : ''
    return {
      summary: SUMMARY[state],
      detail: state === 'down' ? downBecause(row) : null,
      changedAt: state === 'none' ? null : this.#changedAt,
      error: why === '' ? null : why.slice(0, ERROR_MESSAGE_LENGTH),
    }
  }
}

/** HAWQ's words for why the standby is not in sync. */
function downBecause(row: InstanceStateRow | undefined): string {
  if (row?.state === 'unfit') return 'Standby master too far behind'
  if (row?.state === 'failed' || row?.state === 'fenced') return 'Unexpected error'
  // It runs no more, and nothing ended it but an orderly stop.
  if (row?.pid === null && row.detail === '') return 'Standby master was not started by the administrator'
  return 'Connection error'
}
