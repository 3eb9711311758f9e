/** Collects what the live views are filled from. One per coordinator: it remembers since when the standby is as it is. */
import type { ClusterState, ReplicationRow } from '@mirabelle/messages'
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

export class LiveStateCollector {
  readonly #clock: Clock
  #summary = ''
  #changedAt: number | null = null

  constructor(clock: Clock) {
    this.#clock = clock
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
      standby: this.#standby(standbyState(instances)),
      laneDepth: (content) => {
        const lane = dispatcher.lanes.get(content)
        return lane === undefined ? 0 : lane.inFlight + lane.queue.waiting.length
      },
    }
  }

  #standby(state: ClusterState['cluster']['standby']): StandbySummary {
    const summary = SUMMARY[state]
    if (summary !== this.#summary) {
      this.#summary = summary
      this.#changedAt = this.#clock.now()
    }
    return {
      summary,
      detail: state === 'down' ? 'Connection error' : null,
      changedAt: state === 'none' ? null : this.#changedAt,
      error: null,
    }
  }
}
