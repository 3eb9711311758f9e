/** The first message that a thread gets says which folder it hosts, and in which role. Until it is open for requests there is no second one. */
import { parentPort, type MessagePort } from 'node:worker_threads'
import type { WorkerData } from '../shared/worker-protocol.ts'

export function toldToBegin(): Promise<WorkerData> {
  return new Promise((resolve) => (parentPort as MessagePort).once('message', resolve))
}
