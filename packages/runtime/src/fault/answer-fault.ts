/** What tests ask of the fault points of a running process, and the answers. Shared by instances and agents. */
import { isFaultPoint, type FaultPoint, type Message } from '@mirabelle/messages'
import { refused, type FaultInjector } from './fault-injector.ts'
import { faults, FAULTS_VARIABLE } from './faults.ts'

/** The answer, or undefined when the message is about something else. Rejects with `fault.refused`, `timeout`. */
export function answerFault(message: Message): Promise<Message> | undefined {
  switch (message.type) {
    case 'fault.inject':
      return change((injector) => injector.inject({ ...message, point: named(message.point) }))
    case 'fault.resume':
      return change((injector) => injector.resume(named(message.point)))
    case 'fault.reset':
      return change((injector) => injector.reset(message.point === null ? null : named(message.point)))
    case 'fault.wait':
      return rows((injector) => injector.reached(named(message.point), message.hits, message.timeoutMs))
    case 'fault.status':
      return rows(() => undefined)
    default:
      return undefined
  }
}

type Work = (injector: FaultInjector) => void | Promise<void>

async function change(work: Work): Promise<Message> {
  await work(allowed())
  return { type: 'ok' }
}

async function rows(work: Work): Promise<Message> {
  const injector = allowed()
  await work(injector)
  return { type: 'fault.statusIs', faults: injector.rows() }
}

function allowed(): FaultInjector {
  if (faults !== undefined) return faults
  throw refused(
    `this process was not started with fault points allowed (${FAULTS_VARIABLE} in its environment)`,
  )
}

function named(point: string): FaultPoint {
  if (isFaultPoint(point)) return point
  throw refused(`there is no fault point ${point}`)
}
