/**
 * Runs an xstate machine as a pure decision: event in, actions to perform out. Made by an actor, which performs the actions and
 * feeds their outcomes back as events; has no end of its own. Promises: one log line per change of state, and an event that the
 * state does not know is an error, never silence.
 */
import { MirabelleError } from '@mirabelle/messages'
import { getNextTransitions } from 'xstate'
import type {
  AnyMachineSnapshot,
  AnyStateMachine,
  ContextFrom,
  EventFromLogic,
  ExecutableActionsFrom,
  InputFrom,
  SnapshotFrom,
} from 'xstate'
import { silentLogger, type Logger } from '../log/logger.ts'
import { MachineSteps } from './machine-steps.ts'

/** One step of a machine, as observers see it. */
export interface Step<M extends AnyStateMachine> {
  readonly from: string
  readonly event: EventFromLogic<M>
  readonly to: string
  /** Description of the transition, or of the new state when the transition has none. */
  readonly reason: string
  readonly before: SnapshotFrom<M>
  readonly after: SnapshotFrom<M>
  readonly actions: readonly ExecutableActionsFrom<M>[]
}

/** What `matches` of a machine's snapshot takes. */
type StateFrom<M extends AnyStateMachine> =
  SnapshotFrom<M> extends { matches: (state: infer S) => boolean } ? S : never

export interface DeciderOptions<M extends AnyStateMachine> {
  readonly log: Logger
  /** Stands in every line: actor, content, dbid. */
  readonly subject: Readonly<Record<string, unknown>>
  /** The input of the machine, if it has one. */
  readonly input?: InputFrom<M>
  /** More for the line of a change, e.g. the LSN, from the new snapshot. */
  readonly facts?: (snapshot: SnapshotFrom<M>) => Readonly<Record<string, unknown>>
  /** Events that may come in any state and mean nothing where they are not handled (a late answer, a timer that had fired). */
  readonly ignorable?: readonly EventFromLogic<M>['type'][]
}

export class Decider<M extends AnyStateMachine> {
  readonly #machine: M
  readonly #options: DeciderOptions<M>
  readonly #ignorable: ReadonlySet<string>
  readonly #observers = new Set<(step: Step<M>) => void>()
  readonly #steps: MachineSteps<M>
  #dispatching = false
  /** What the initial state asks for; perform it first. */
  readonly initialActions: readonly ExecutableActionsFrom<M>[]

  constructor(machine: M, options: DeciderOptions<M>) {
    this.#machine = machine
    this.#options = options
    this.#ignorable = new Set(options.ignorable ?? [])
    this.#steps = new MachineSteps(machine, options.input)
    this.initialActions = this.#steps.initialActions
    options.log.debug({ ...options.subject, to: this.state }, 'begins')
  }

  get snapshot(): SnapshotFrom<M> {
    return this.#steps.snapshot
  }

  get context(): ContextFrom<M> {
    return (this.snapshot as AnyMachineSnapshot).context as ContextFrom<M>
  }

  /** The state as text: `primary.streaming`, or `a, b` for parallel states. */
  get state(): string {
    return stateText((this.snapshot as AnyMachineSnapshot).value)
  }

  /** True when the machine is in this state. */
  matches(state: StateFrom<M>): boolean {
    return (this.snapshot as AnyMachineSnapshot).matches(state as never)
  }

  /** Whether the event is handled in the current state, by any transition, guards aside. */
  handles(type: EventFromLogic<M>['type']): boolean {
    return getNextTransitions(this.snapshot).some(({ eventType }) => covers(eventType, type))
  }

  /**
   * Decides what an event changes. Returns the actions to perform, in order. Throws `internal` for an event that the current
   * state does not know and that is not ignorable; the state is unchanged then. Never call it from an observer.
   */
  dispatch(event: EventFromLogic<M>): readonly ExecutableActionsFrom<M>[] {
    const { log, subject, facts } = this.#options
    const from = this.state
    if (this.#dispatching)
      throw new MirabelleError(
        'internal',
        `${this.#name()} got ${event.type} while it decides on another event`,
      )
    const before = this.snapshot
    const taken = this.#steps.select(event)
    if (taken.length === 0 && !this.handles(event.type)) {
      if (this.#ignorable.has(event.type)) {
        log.debug({ ...subject, from, event: event.type }, 'ignored here')
        return []
      }
      log.error({ ...subject, from, event: event.type }, 'an impossible event')
      throw new MirabelleError(
        'internal',
        `${this.#name()} in state ${from} does not know the event ${event.type}`,
        {
          detail: { ...subject, state: from, event: event.type },
        },
      )
    }
    this.#dispatching = true
    try {
      const actions = this.#steps.next(event, taken)
      const after = this.snapshot
      const to = this.state
      const reason = reasonOf(taken, after)
      if (log !== silentLogger && taken.length > 0) {
        const fields = { ...subject, ...facts?.(after), from, event: event.type, to }
        if (to !== from) log.info(fields, reason)
        else log.debug(fields, reason)
      }
      const step: Step<M> = { from, event, to, reason, before, after, actions }
      for (const observer of this.#observers) observer(step)
      return actions
    } finally {
      this.#dispatching = false
    }
  }

  /** Tells of every step from now on. Returns what ends it. */
  observe(observer: (step: Step<M>) => void): () => void {
    this.#observers.add(observer)
    return () => this.#observers.delete(observer)
  }

  #name(): string {
    const { subject } = this.#options
    return `${this.#machine.id} ${JSON.stringify(subject)}`
  }
}

/** Makes the decider of an actor. */
export function createDecider<M extends AnyStateMachine>(machine: M, options: DeciderOptions<M>): Decider<M> {
  return new Decider(machine, options)
}

/** `{a: {b: 'c'}}` is `a.b.c`; parallel states stand side by side. */
export function stateText(value: unknown): string {
  if (typeof value === 'string') return value
  const parts = Object.entries(value as Record<string, unknown>).map(([name, inner]) => {
    const text = stateText(inner)
    return text === '' ? name : `${name}.${text}`
  })
  return parts.join(', ')
}

function reasonOf(taken: readonly { readonly description?: string }[], after: unknown): string {
  const first = taken[0]?.description
  if (first !== undefined && taken.length === 1) return first
  const told = taken.flatMap(({ description }) => (description === undefined ? [] : [description]))
  if (told.length > 0) return told.join(' ')
  const nodes = (after as { _nodes: readonly { description?: string; type: string }[] })._nodes
  const states = nodes.flatMap(({ description, type }) =>
    description === undefined || type === 'compound' ? [] : [description],
  )
  return states.length > 0 ? states.join(' ') : 'no reason is written down'
}

/** Whether a transition's descriptor (`probe`, `probe.*`, `*`) covers an event. */
function covers(descriptor: string, type: string): boolean {
  if (descriptor === type || descriptor === '*') return true
  return descriptor.endsWith('.*') && `${type}.`.startsWith(descriptor.slice(0, -1))
}
