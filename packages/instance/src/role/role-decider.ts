/** Runs the role machine purely: one event in, the new state out. Owned by the instance actor. */
import { initialTransition, transition, type SnapshotFrom } from 'xstate'
import type { Role, Timeline } from '@mirabelle/messages'
import { instanceRoleMachine, type RoleEvent, type RoleState } from './instance-role.machine.ts'

export interface Decision {
  readonly from: RoleState
  readonly to: RoleState
  readonly reason: string
  /** What is guaranteed from now on. */
  readonly sentence: string
}

export class RoleDecider {
  #snapshot: SnapshotFrom<typeof instanceRoleMachine>

  constructor(role: Role) {
    this.#snapshot = initialTransition(instanceRoleMachine, { role })[0]
  }

  get state(): RoleState {
    return this.#snapshot.value as RoleState
  }
  get reason(): string {
    return this.#snapshot.context.reason
  }
  get timeline(): Timeline {
    return this.#snapshot.context.timeline
  }

  /** Returns the change of state, or undefined when the event changed none. */
  decide(event: RoleEvent): Decision | undefined {
    const from = this.state
    if (this.#snapshot.status !== 'active') return undefined
    this.#snapshot = transition(instanceRoleMachine, this.#snapshot, event)[0]
    const to = this.state
    if (to === from) return undefined
    const sentence = instanceRoleMachine.states[to]?.description ?? to
    return { from, to, reason: this.reason, sentence }
  }
}
