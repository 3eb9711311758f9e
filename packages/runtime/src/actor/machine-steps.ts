/**
 * An xstate machine as a pure function of state and event, without xstate's actors: event in, new state and actions to perform out. Made by a
 * `Decider` and by whoever else runs a machine by hand; has no end of its own. Promises what xstate's own `transition` promises, which makes an
 * actor with its initial state for every single event: that costs more than the event. Here the actor that never runs is made once a machine, and
 * a machine whose states lie side by side takes its steps without the work that nested states would need.
 */
import { createActor } from 'xstate'
import type {
  AnyActorScope,
  AnyMachineSnapshot,
  AnyStateMachine,
  AnyTransitionDefinition,
  EventFromLogic,
  ExecutableActionsFrom,
  SnapshotFrom,
} from 'xstate'
import { flatMachine, type FlatMachine } from './flat-machine.ts'

export class MachineSteps<M extends AnyStateMachine> {
  readonly #machine: M
  readonly #scope: AnyActorScope
  readonly #flat: FlatMachine | null
  #snapshot: SnapshotFrom<M>
  /** What the step under way asks for. */
  #actions: ExecutableActionsFrom<M>[] = []
  /** What the initial state asks for. */
  readonly initialActions: readonly ExecutableActionsFrom<M>[]

  /** `input` as the machine wants it; undefined for one that wants none. */
  constructor(machine: M, input: unknown) {
    this.#machine = machine
    this.#flat = flatMachine(machine)
    this.#scope = {
      ...inertScopeOf(machine, input),
      actionExecutor: (action) => void this.#actions.push(action as ExecutableActionsFrom<M>),
    }
    const known = beginnings.get(machine)
    if (known !== undefined && this.#flat !== null) {
      this.#snapshot = known.snapshot as SnapshotFrom<M>
      this.initialActions = known.actions as readonly ExecutableActionsFrom<M>[]
      return
    }
    this.#snapshot = machine.getInitialSnapshot(this.#scope, input as never) as SnapshotFrom<M>
    this.initialActions = this.#taken()
    if (input === undefined && typeof machine.config.context !== 'function')
      beginnings.set(machine, { snapshot: this.#snapshot, actions: this.initialActions })
  }

  get snapshot(): SnapshotFrom<M> {
    return this.#snapshot
  }

  /** The transitions that an event takes in the present state: none when nothing is said of it, or no guard lets it through. */
  select(event: EventFromLogic<M>): readonly AnyTransitionDefinition[] {
    return this.#machine.getTransitionData(this.#snapshot as AnyMachineSnapshot, event)
  }

  /**
   * Takes an event; `selected`: what `select` has said of it. Returns the actions to perform, in order. Throws what guards, assigners and parameters throw; the
   * state is unchanged then.
   */
  next(event: EventFromLogic<M>, selected = this.select(event)): readonly ExecutableActionsFrom<M>[] {
    this.#actions = []
    const snapshot = this.#snapshot as AnyMachineSnapshot
    this.#snapshot = (
      this.#flat?.canTake(selected) === true
        ? this.#flat.take(snapshot, event, selected, this.#scope)
        : this.#machine.transition(snapshot, event, this.#scope)
    ) as SnapshotFrom<M>
    return this.#taken()
  }

  #taken(): readonly ExecutableActionsFrom<M>[] {
    const actions = this.#actions
    this.#actions = []
    return actions
  }
}

/** How machines begin that begin alike each time: without an input, and with a context that is not made anew. */
const beginnings = new WeakMap<
  AnyStateMachine,
  { readonly snapshot: unknown; readonly actions: readonly unknown[] }
>()

type InertScope = Omit<AnyActorScope, 'actionExecutor'>

const inertScopes = new WeakMap<AnyStateMachine, InertScope>()

/** What a transition may ask its actor for, of an actor that never runs. */
function inertScopeOf(machine: AnyStateMachine, input: unknown): InertScope {
  let scope = inertScopes.get(machine)
  if (scope === undefined) {
    const self = createActor(machine, { input })
    const nothing = (): void => undefined
    scope = {
      self,
      system: self.system,
      id: '',
      sessionId: '',
      logger: nothing,
      defer: nothing,
      emit: nothing,
      stopChild: nothing,
    }
    inertScopes.set(machine, scope)
  }
  return scope
}
