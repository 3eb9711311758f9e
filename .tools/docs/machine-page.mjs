// The page of one machine: a diagram and a table. Pure: a machine's model in, Markdown out.
import { code, generatedNote, page, table } from './markdown.mjs'

const identifier = (path) => (path === '' ? 'any_state' : path.replace(/[^A-Za-z0-9]+/g, '_'))
const label = (text) => text.replace(/[:;#"]/g, ' ')

function edges(state) {
  return state.transitions.flatMap(({ event, guard, targets }) =>
    targets.map(
      (target) =>
        `${identifier(state.path)} --> ${identifier(target)}: ${label(guard === '' ? event : `${event} [${guard}]`)}`,
    ),
  )
}

/** A mermaid state diagram. Transitions of the machine itself leave from "any state". */
export function renderDiagram({ states }) {
  const byPath = new Map(states.map((state) => [state.path, state]))
  const lines = []
  const draw = (state, depth) => {
    const indent = '  '.repeat(depth)
    if (state.initial !== '') lines.push(`${indent}[*] --> ${identifier(state.initial)}`)
    for (const path of state.children) {
      const child = byPath.get(path)
      lines.push(`${indent}state "${child.key}" as ${identifier(path)}`)
      if (child.children.length > 0) {
        lines.push(`${indent}state ${identifier(path)} {`)
        draw(child, depth + 1)
        lines.push(`${indent}}`)
      }
      if (child.type === 'final') lines.push(`${indent}${identifier(path)} --> [*]`)
    }
  }
  const [root] = states
  draw(root, 1)
  if (root.transitions.some(({ targets }) => targets.length > 0))
    lines.push('  state "any state" as any_state')
  for (const state of states) lines.push(...edges(state).map((edge) => `  ${edge}`))
  return ['```mermaid', 'stateDiagram-v2', ...lines, '```'].join('\n')
}

const list = (names) => names.map(code).join(', ')

function stateRows({ states }) {
  return states
    .slice(1)
    .map((state) => [
      code(state.path) + (state.type === 'final' ? ' (final)' : ''),
      state.description,
      list(state.entry),
      list(state.exit),
    ])
}

function transitionRows({ states }) {
  return states.flatMap((state) =>
    state.transitions.map(({ event, guard, targets, actions, description }) => [
      state.path === '' ? 'any state' : code(state.path),
      code(event),
      code(guard),
      targets.length === 0 ? 'stays' : list(targets),
      list(actions),
      description,
    ]),
  )
}

/** The whole page. `source` is the machine's file name, `name` the export. */
export const renderMachinePage = (model, { name, source }) =>
  page(
    generatedNote(source),
    `# ${name}`,
    model.description,
    renderDiagram(model),
    '## States',
    table(['state', 'what holds in it', 'on entry', 'on exit'], stateRows(model)),
    '## Transitions',
    table(['state', 'event', 'guard', 'target', 'actions', 'why'], transitionRows(model)),
  )
