export { Dispatcher, type Cancellation, type DispatcherOptions } from './dispatcher.ts'
export { SqlError } from './errors.ts'
