/**
 * Steps of a machine whose states lie side by side, without state nodes in state nodes, timers, invoked actors or eventless transitions. Made once a machine by
 * `MachineSteps`. xstate's own step computes sets of nodes to leave and to enter, which for such a machine are one node each; here the definition of the machine,
 * its guards and its actions are taken from xstate, and only that is left out. Gives the same snapshots and the same actions as xstate does (its test compares).
 */
import type {
  EventObject,
  AnyActorScope,
  AnyMachineSnapshot,
  AnyStateMachine,
  AnyStateNode,
  AnyTransitionDefinition,
} from 'xstate'

type Action = AnyStateNode['entry'][number]

/** How an action of a machine is carried out: by the actor, or as a change of the context here. */
interface Implementation {
  readonly resolve?: unknown
  readonly type?: string
  readonly assignment?: unknown
}

interface Performed {
  readonly type: string
  readonly info: object
  readonly params: unknown
  readonly exec: unknown
}

type Assigner = (args: object, params: unknown) => object

interface Prepared {
  readonly name: string
  readonly implementation: Implementation | undefined
  /** Of an assignment: what each field becomes; undefined when one function says all. */
  readonly assigners: readonly (readonly [string, unknown])[] | undefined
}

const ASSIGN = 'xstate.assign'

export class FlatMachine {
  readonly #machine: AnyStateMachine
  readonly #root: AnyStateNode
  readonly #actions = new Map<Action, Prepared>()
  /** Of each state, what a snapshot in it has. */
  readonly #states = new Map<AnyStateNode, { readonly nodes: AnyStateNode[]; readonly tags: Set<string> }>()

  /** Use `flatMachine`. */
  constructor(machine: AnyStateMachine) {
    this.#machine = machine
    this.#root = machine.root
    for (const node of childrenOf(machine.root))
      this.#states.set(node, {
        nodes: [machine.root, node],
        tags: new Set([...machine.root.tags, ...node.tags]),
      })
  }

  /** True when `take` can carry it out: it does not end the machine. */
  canTake([taken]: readonly AnyTransitionDefinition[]): boolean {
    return taken?.target?.[0]?.type !== 'final'
  }

  /** The snapshot after a transition; what is to be performed goes to the executor of the scope. */
  take(
    snapshot: AnyMachineSnapshot,
    event: EventObject,
    [taken]: readonly AnyTransitionDefinition[],
    scope: AnyActorScope,
  ): AnyMachineSnapshot {
    if (taken === undefined) return snapshot
    const from = this.#root.states[snapshot.value as string] as AnyStateNode
    const to = taken.target?.[0]
    const run = (context: unknown, actions: readonly Action[]): unknown =>
      actions.length === 0 ? context : this.#run(context, event, actions, scope)
    let context: unknown = snapshot.context
    // A transition from a state to itself leaves it only when it says so; one of the machine as a whole always does.
    if (to === undefined || (to === taken.source && !taken.reenter)) context = run(context, taken.actions)
    else context = run(run(run(context, from.exit), taken.actions), to.entry)
    const moves = to !== undefined && to !== from
    if (!moves && context === snapshot.context) return snapshot
    const next = { ...snapshot, context }
    if (moves) {
      const state = this.#states.get(to) as { nodes: AnyStateNode[]; tags: Set<string> }
      Object.assign(next, { value: to.key, _nodes: state.nodes, tags: state.tags })
    }
    return next
  }

  /** Runs actions in order; each sees the context as those before it have left it. */
  #run(before: unknown, event: EventObject, actions: readonly Action[], scope: AnyActorScope): unknown {
    const { self, system } = scope
    let context = before
    for (const action of actions) {
      const { name, implementation, assigners } = this.#prepared(action)
      const params = paramsOf(action, context, event)
      if (implementation?.resolve === undefined) {
        const info = { context, event, self, system }
        const performed: Performed = { type: name, info, params, exec: implementation }
        scope.actionExecutor(performed as never)
        continue
      }
      const args = { context, event, spawn: noSpawn, self, system }
      const changed: Record<string, unknown> = { ...(context as object) }
      if (assigners === undefined)
        Object.assign(changed, (implementation.assignment as Assigner)(args, params))
      else
        for (const [key, value] of assigners)
          changed[key] = typeof value === 'function' ? (value as Assigner)(args, params) : value
      context = changed
    }
    return context
  }

  /** What is known of an action once and for all. */
  #prepared(action: Action): Prepared {
    let prepared = this.#actions.get(action)
    if (prepared === undefined) {
      const implementation = implementationOf(this.#machine, action)
      const assignment = implementation?.resolve === undefined ? {} : implementation.assignment
      const assigners = typeof assignment === 'function' ? undefined : Object.entries(assignment as object)
      prepared = { name: nameOf(action), implementation, assigners }
      this.#actions.set(action, prepared)
    }
    return prepared
  }
}

const machines = new WeakMap<AnyStateMachine, FlatMachine | null>()

/** The machine as a flat one; null when it is none. */
export function flatMachine(machine: AnyStateMachine): FlatMachine | null {
  let flat = machines.get(machine)
  if (flat === undefined) {
    flat = isFlat(machine) ? new FlatMachine(machine) : null
    machines.set(machine, flat)
  }
  return flat
}

function childrenOf(node: AnyStateNode): AnyStateNode[] {
  return Object.values(node.states) as AnyStateNode[]
}

function isFlat(machine: AnyStateMachine): boolean {
  const { root } = machine
  const plain = (node: AnyStateNode): boolean =>
    node.invoke.length === 0 &&
    (node.always ?? []).length === 0 &&
    node.after.length === 0 &&
    [...node.entry, ...node.exit].every((action) => isKnown(machine, action)) &&
    [...node.transitions.values()].flat().every((transition) => isPlain(machine, transition))
  return (
    root.type === 'compound' &&
    plain(root) &&
    childrenOf(root).every((node) => (node.type === 'atomic' || node.type === 'final') && plain(node))
  )
}

function isPlain(
  machine: AnyStateMachine,
  { target, source, reenter, actions }: AnyTransitionDefinition,
): boolean {
  const targets = target ?? []
  return (
    targets.length <= 1 &&
    targets.every((node) => node.parent === machine.root) &&
    !(source === machine.root && reenter) &&
    actions.every((action) => isKnown(machine, action))
  )
}

/** True for what the actor performs and for changes of the context; xstate has more, such as events that a machine sends to itself. */
function isKnown(machine: AnyStateMachine, action: Action): boolean {
  const implementation = implementationOf(machine, action)
  return implementation?.resolve === undefined || implementation.type === ASSIGN
}

function implementationOf(machine: AnyStateMachine, action: Action): Implementation | undefined {
  if (typeof action === 'function') return action as Implementation
  return machine.implementations.actions[nameOf(action)] as Implementation | undefined
}

function nameOf(action: Action): string {
  if (typeof action === 'string') return action
  if (typeof action === 'function') return (action as { name: string }).name || '(anonymous)'
  return (action as { type: string }).type
}

function paramsOf(action: Action, context: unknown, event: EventObject): unknown {
  if (typeof action !== 'object') return undefined
  const { params } = action as { params?: unknown }
  return typeof params === 'function' ? (params as (of: object) => unknown)({ context, event }) : params
}

function noSpawn(): never {
  throw new Error('a machine that is run as a decision starts no actors')
}
