import type { paths } from '../schema.js';
type Json<Response> = Response extends {
    content: {
        'application/json': infer Body;
    };
} ? Body : never;
type RequestBody<Operation> = Operation extends {
    requestBody: {
        content: {
            'application/json': infer Body;
        };
    };
} ? Body : never;
type Form = Json<paths['/get_node_info']['post']['responses'][200]>;
/** An app as a form: its fields in `nodeInfoList`, and one JSON Schema for all of them. */
export type WebappForm = Extract<Form, {
    webappId: string;
}>;
/** The inputs of a plain workflow as a form. */
export type WorkflowForm = Extract<Form, {
    workflowId: string;
}>;
/** One field of a form; `input` says how to draw it. */
export type NodeField = WebappForm['nodeInfoList'][number];
export type UploadedFile = Json<paths['/upload']['post']['responses'][200]>;
export type Task = Json<paths['/tasks/{task_id}']['get']['responses'][200]>;
export type TaskStatus = Task['status'];
export type TaskPage = Json<paths['/tasks']['get']['responses'][200]>;
export type TaskQuery = NonNullable<paths['/tasks']['get']['parameters']['query']>;
export type SubmitBody = RequestBody<paths['/submit_task']['post']>;
export type SubmitResponse = Json<paths['/submit_task']['post']['responses'][202]>;
export type Problem = paths['/submit_task']['post']['responses'][422]['content']['application/problem+json'];
/** One result. `url` is absolute and works without a token for some hours; `state` says whether the gateway keeps it. */
export type Output = Task['outputs'][number];
/** Values by the keys of the form's `schema`: `{"15.text": "a cat"}`. A field left out keeps the app's saved value. */
export type FieldValues = Readonly<NonNullable<SubmitBody['values']>>;
/** A field's value: a file field takes the `fileName` that `upload` returned. */
export type FieldValue = FieldValues[string];
export {};
