/**
 * Faults as text: `point=action`, then `,name=value` for what is not the default, faults separated by `;`.
 *
 *     promotion.role=crash,in=dbid4; send.mirrors.make=crash,in=cli; receive.fts.probe=suspend,start=2,end=-1
 */
import { faultActions, isFaultPoint, type Fault, type FaultAction } from '@mirabelle/messages'
import { refused } from './fault-injector.ts'

export interface FaultOfProcess {
  /** The process that it is meant for; undefined = every one. */
  readonly process: string | undefined
  readonly fault: Fault
}

/** Throws `fault.refused` with what is wrong. The word `allow` sets none. */
export function parseFaults(text: string): FaultOfProcess[] {
  return text
    .split(';')
    .map((one) => one.trim())
    .filter((one) => one !== '' && one !== 'allow')
    .map(parseOne)
}

function parseOne(text: string): FaultOfProcess {
  const parts = text.split(',').map((part) => /^([^=]+)=(.*)$/.exec(part.trim()))
  const [first, ...rest] = parts
  const [, point = '', action = ''] = first ?? []
  if (!isFaultPoint(point)) throw refused(`there is no fault point "${point || text}"`)
  if (!isAction(action))
    throw refused(`"${action}" is nothing that can happen at ${point}: ${faultActions.join(', ')}`)
  const values = new Map<string, string>()
  for (const part of rest) {
    const [, name = '', value = ''] = part ?? []
    if (!['start', 'end', 'ms', 'content', 'in'].includes(name) || value === '')
      throw refused(`${point}: start, end, ms, content and in can be given, each with a value`)
    values.set(name, value)
  }
  const number = (name: string, otherwise: number): number => {
    const value = values.get(name)
    if (value === undefined) return otherwise
    if (!/^-?\d+$/.test(value)) throw refused(`${point}: ${name} must be a whole number`)
    return Number(value)
  }
  const start = number('start', 1)
  return {
    process: values.get('in'),
    fault: {
      point,
      action,
      startOccurrence: start,
      endOccurrence: number('end', start),
      sleepMs: number('ms', 0),
      content: values.has('content') ? number('content', 0) : null,
    },
  }
}

function isAction(text: string): text is FaultAction {
  return (faultActions as readonly string[]).includes(text)
}
