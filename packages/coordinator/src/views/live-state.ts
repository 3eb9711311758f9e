/** Collects what the live views are filled from. One per coordinator: it remembers since when the standby is as it is. */
import type { ClusterState, InstanceStateRow, ReplicationRow } from '@mirabelle/messages'
import type { Clock } from '@mirabelle/runtime'
import type { Dispatcher } from '../dispatcher.ts'
import { collectInstances, standbyState, type StateSources } from '../ha/cluster-state.ts'
import type { LiveState, StandbySummary } from './live-views.ts'

const SUMMARY = {
  none: 'Not Configured',
  streaming: 'Synchronized',
  catchup: 'Synchronizing',
  down: 'Not Synchronized',
} as const satisfies Record<ClusterState['cluster']['standby'], StandbySummary['summary']>

/** As long as HAWQ's column. */
const ERROR_MESSAGE_LENGTH = 200

export class LiveStateCollector {
  readonly #clock: Clock
  #summary = ''
  #changedAt: number | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The standby's stream has begun, caught up or ended, or there is no standby any more. */
  standbyIs(state: ClusterState['cluster']['standby']): void {
    const summary = SUMMARY[state]
    if (summary === this.#summary) return
    this.#summary = summary
    this.#changedAt = this.#clock.now()
  }

  async collect(sources: StateSources, dispatcher: Dispatcher): Promise<LiveState> {
    const instances = await collectInstances(sources)
    const replication: { content: number; row: ReplicationRow | null }[] = []
    for (const { role, content, replication: row } of instances) {
      if (role === 'p' && (row !== null || content >= 0)) replication.push({ content, row })
    }
    return {
      replication,
      instances,
      standby: this.#standby(standbyState(instances), instances),
      laneDepth: (content) => {
        const lane = dispatcher.lanes.get(content)
        return lane === undefined ? 0 : lane.inFlight + lane.queue.waiting.length
      },
    }
  }

  #standby(
    state: ClusterState['cluster']['standby'],
    instances: readonly InstanceStateRow[],
  ): StandbySummary {
    this.standbyIs(state)
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
  if (row === undefined) return 'Unexpected error'
  if (row.state === 'unfit') return 'Standby master too far behind'
  if (row.state === 'failed' || row.state === 'fenced') return 'Unexpected error'
  if (row.pid === null && row.detail === '') return 'Standby master was not started by the administrator'
  return 'Connection error'
}
