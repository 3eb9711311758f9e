export { Agent, type AgentOptions } from './agent.actor.ts'
export * from './facts.ts'
export { instanceViewMachine } from './instance-view.machine.ts'
export {
  realProcesses,
  type Processes,
  type ProcessExit,
  type SpareProcess,
  type WatchedProcess,
} from './process-port.ts'
