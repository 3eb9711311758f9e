/** Collects what the live views are filled from. One per coordinator. */
import type { ReplicationRow } from '@mirabelle/messages'
import type { Clock } from '@mirabelle/runtime'
import type { Dispatcher } from '../dispatcher.ts'
import { collectInstances, standbyState, type StateSources } from '../ha/cluster-state.ts'
import type { LiveState } from './live-views.ts'
import { StandbyWatch } from './standby-watch.ts'

export class LiveStateCollector {
  readonly standby: StandbyWatch

  constructor(clock: Clock) {
    this.standby = new StandbyWatch(clock)
  }

  async collect(sources: StateSources, dispatcher: Dispatcher): Promise<LiveState> {
    const instances = await collectInstances(sources)
    const mirrored = new Set(instances.flatMap(({ content, role }) => (role === 'm' ? [content] : [])))
    const replication: { content: number; row: ReplicationRow | null }[] = []
    for (const { role, content, replication: row } of instances) {
      // As in Greenplum: a segment whose mirror is missed has a row, one that has no mirror has none.
      if (role === 'p' && (row !== null || (content >= 0 && mirrored.has(content))))
        replication.push({ content, row })
    }
    return {
      replication,
      instances,
      standby: this.standby.summary(standbyState(instances), instances),
      laneDepth: (content) => {
        const lane = dispatcher.lanes.get(content)
        return lane === undefined ? 0 : lane.inFlight + lane.queue.waiting.length
      },
    }
  }
}
