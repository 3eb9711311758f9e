/** Runs the role machine purely: one event in, the new state out. Owned by the instance actor. */
import type { Role, Timeline } from '@mirabelle/messages'
import { MachineSteps } from '@mirabelle/runtime'
import { instanceRoleMachine, type RoleEvent, type RoleState } from './instance-role.machine.ts'

export interface Decision {
  readonly from: RoleState
  readonly to: RoleState
  readonly reason: string
  /** What is guaranteed from now on. */
  readonly sentence: string
}

export class RoleDecider {
  readonly #steps: MachineSteps<typeof instanceRoleMachine>

  constructor(role: Role) {
    this.#steps = new MachineSteps(instanceRoleMachine, { role })
  }

  get state(): RoleState {
    return this.#steps.snapshot.value as RoleState
  }
  get reason(): string {
    return this.#steps.snapshot.context.reason
  }
  get timeline(): Timeline {
    return this.#steps.snapshot.context.timeline
  }

  /** Returns the change of state, or undefined when the event changed none. */
  decide(event: RoleEvent): Decision | undefined {
    const from = this.state
    if (this.#steps.snapshot.status !== 'active') return undefined
    this.#steps.next(event)
    const to = this.state
    if (to === from) return undefined
    const sentence = instanceRoleMachine.states[to]?.description ?? to
    return { from, to, reason: this.reason, sentence }
  }
}
