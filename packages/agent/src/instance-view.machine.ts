/** The agent's view of one instance of its host. Pure: instance-keeper.ts acts. */
import { setup } from 'xstate'

export const instanceViewMachine = setup({
  types: {
    events: {} as
      | { type: 'START' }
      | { type: 'SPAWNED' }
      | { type: 'ADOPTED' }
      | { type: 'STOP' }
      | { type: 'FENCE' }
      | { type: 'EXITED' },
  },
}).createMachine({
  id: 'instance-view',
  description: 'What the agent of a host knows of one instance.',
  initial: 'stopped',
  states: {
    stopped: {
      description:
        'No process of this instance runs, as far as the agent can see: its last one has exited or none was started.',
      on: {
        START: { target: 'starting', description: 'A coordinator or the command line asked for it.' },
        ADOPTED: {
          target: 'running',
          description: 'A process that an earlier agent had started was found alive.',
        },
        STOP: { target: 'stopped', description: 'There is nothing to stop.' },
        FENCE: { target: 'stopped', description: 'There is nothing to fence.' },
      },
    },
    starting: {
      description: 'The process is being spawned.',
      on: {
        SPAWNED: { target: 'running', description: 'The operating system made the process.' },
        EXITED: { target: 'stopped', description: 'It could not be spawned.' },
      },
    },
    running: {
      description: 'The process exists. Whether it serves is for FTS to find out.',
      on: {
        START: { target: 'running', description: 'It runs already.' },
        STOP: { target: 'stopping', description: 'An orderly stop was asked for.' },
        FENCE: { target: 'fencing', description: 'It was killed so that it cannot act on an older role.' },
        EXITED: {
          target: 'stopped',
          description: 'The process is gone: a death certificate goes to every coordinator.',
        },
      },
    },
    stopping: {
      description: 'The process was asked to end; after the limit it is killed.',
      on: {
        FENCE: { target: 'fencing', description: 'There is no more time for an orderly end.' },
        STOP: { target: 'stopping', description: 'It is stopping already.' },
        EXITED: { target: 'stopped', description: 'The process has ended.' },
      },
    },
    fencing: {
      description: 'The process got SIGKILL; its exit is awaited.',
      on: {
        FENCE: { target: 'fencing', description: 'It is being killed already.' },
        STOP: { target: 'fencing', description: 'It is being killed already.' },
        EXITED: { target: 'stopped', description: 'The process is gone.' },
      },
    },
  },
})
