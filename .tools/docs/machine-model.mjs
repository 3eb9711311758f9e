// Reads an xstate machine into plain rows: what a page shows and what the tests check.

/** True for what xstate's createMachine returns. */
export const isMachine = (value) =>
  typeof value === 'object' &&
  value !== null &&
  'root' in value &&
  'config' in value &&
  typeof value.transition === 'function'

/** The name of a guard or an action: its type, or what kind of inline function it is. */
function nameOf(part) {
  if (part === undefined) return ''
  if (typeof part === 'string') return part
  if (Array.isArray(part.guards)) {
    const names = part.guards.map(nameOf)
    return part.check?.name === 'checkNot' || part.name === 'not'
      ? `not ${names[0]}`
      : `(${names.join(` ${part.name} `)})`
  }
  if (typeof part.type === 'string') return part.type.replace(/^xstate\./, '')
  return 'inline function'
}

const isTimer = (action) =>
  /^xstate\.(after|raise|cancel)/.test(String(action?.type)) &&
  String(action.id ?? action.sendId).startsWith('xstate.after')
const actionNames = (actions) => (actions ?? []).filter((action) => !isTimer(action)).map(nameOf)

/** What makes the transition happen, in words. */
function eventName(eventType) {
  if (eventType === '') return 'at once'
  const after = /^xstate\.after\.([^.]+)\./.exec(eventType)
  if (after !== null) return /^\d+$/.test(after[1]) ? `after ${after[1]} ms` : `after ${after[1]}`
  if (eventType.startsWith('xstate.done.state.')) return 'when its inner states are done'
  const actor = /^xstate\.(done|error)\.actor\.(.+)$/.exec(eventType)
  if (actor !== null) return `${actor[2]} ${actor[1] === 'done' ? 'is done' : 'failed'}`
  return eventType
}

const pathOf = (node) => node.path.join('.')

function transitionsOf(node) {
  const always = (node.always ?? []).map((transition) => ['', transition])
  const others = [...node.transitions].flatMap(([event, list]) =>
    list.map((transition) => [event, transition]),
  )
  return [...always, ...others.filter(([event]) => event !== '')].map(([event, transition]) => ({
    event: eventName(event),
    guard: nameOf(transition.guard),
    targets: (transition.target ?? []).map(pathOf),
    actions: actionNames(transition.actions),
    description: transition.description ?? '',
  }))
}

function statesOf(node) {
  const state = {
    path: pathOf(node),
    key: node.key,
    type: node.type,
    description: node.description ?? '',
    initial: (node.initial?.target ?? []).map(pathOf)[0] ?? '',
    entry: actionNames(node.entry),
    exit: actionNames(node.exit),
    children: Object.values(node.states).map(pathOf),
    transitions: transitionsOf(node),
  }
  return [state, ...Object.values(node.states).flatMap(statesOf)]
}

/** {id, description, states}: the root first (its path is ''), then every state, outer before inner. */
export const readMachine = (machine) => ({
  id: machine.id,
  description: machine.root.description ?? '',
  states: statesOf(machine.root),
})

/** Sentences about states and transitions that lack a description. */
export function undescribed(model) {
  return model.states.flatMap((state) => {
    const name = state.path || 'the machine itself'
    const missing = state.description === '' ? [`${model.id}: ${name} has no description`] : []
    const transitions = state.transitions.filter(({ description }) => description === '')
    return [
      ...missing,
      ...transitions.map(({ event }) => `${model.id}: ${name}, ${event} has no description`),
    ]
  })
}
