/* Store: the audit trail. */
#include "native.h"

/* _audit_log(event_type, action, target_type, target_id, details): returns the id of the entry. */
PyObject *audit_log(store_object *self, PyObject *args) {
    static const char *const names[5] = {"event_type", "action", "target_type", "target_id", "details"};
    PyObject *given[5];
    const char *text[5];
    Py_ssize_t len[5];
    if (!PyArg_ParseTuple(args, "OOOOO:_audit_log", &given[0], &given[1], &given[2], &given[3], &given[4])) {
        return NULL;
    }
    for (int i = 0; i < 5; i++) {
        if (!(i < 2 ? text_of : text_or_none)(given[i], names[i], &text[i], &len[i])) {
            return NULL;
        }
    }
    int64_t id = 0;
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self,
               status = st_audit_log(self->handle.pointer, text[0], (size_t)len[0], text[1], (size_t)len[1], text[2],
                                     (size_t)len[2], text[3], (size_t)len[3], text[4], (size_t)len[4], &id, &error));
    return failed(status, &error) ? NULL : PyLong_FromLongLong(id);
}

PyObject *audit_query(store_object *self, PyObject *filter_object) {
    const char *filter;
    Py_ssize_t len;
    if (!text_or_none(filter_object, "filter", &filter, &len)) {
        return NULL;
    }
    st_bytes json = {0};
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_audit_query(self->handle.pointer, filter, (size_t)len, &json, &error));
    return result_of(status, &error, &json, json_text);
}

PyObject *audit_event_types(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    st_bytes json = {0};
    ST_ERROR(error);
    st_status status = st_audit_event_types(&json, &error);
    return result_of(status, &error, &json, json_text);
}

PyObject *audit_stats(store_object *self, PyObject *unused) {
    (void)unused;
    st_bytes json = {0};
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_audit_stats(self->handle.pointer, &json, &error));
    return result_of(status, &error, &json, json_text);
}

/* _audit_export(filter, csv): returns (text, id of the last exported entry or 0). */
PyObject *audit_export(store_object *self, PyObject *args) {
    PyObject *filter_object;
    int csv;
    const char *filter;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "Op:_audit_export", &filter_object, &csv) ||
        !text_or_none(filter_object, "filter", &filter, &len)) {
        return NULL;
    }
    st_bytes text = {0};
    int64_t last_id = 0;
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_audit_export(self->handle.pointer, filter, (size_t)len,
                                              csv ? ST_AUDIT_CSV : ST_AUDIT_JSON_LINES, &text, &last_id, &error));
    PyObject *exported = result_of(status, &error, &text, json_text);
    return exported == NULL ? NULL : Py_BuildValue("(NL)", exported, (long long)last_id);
}

/* Sets `last_id` of the exception that is set. */
static PyObject *with_last_id(int64_t last_id) {
    PyObject *type, *value, *traceback, *number = PyLong_FromLongLong(last_id);
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (number != NULL && PyObject_SetAttrString(value, "last_id", number) != 0) {
        PyErr_Clear();
    }
    Py_XDECREF(number);
    PyErr_Restore(type, value, traceback);
    return NULL;
}

/* _audit_send(filter, webhook): returns the id of the last delivered entry or 0. A failure has it as `last_id`. */
PyObject *audit_send(store_object *self, PyObject *args) {
    PyObject *filter_object, *webhook_object;
    const char *filter, *webhook;
    Py_ssize_t filter_len, webhook_len;
    if (!PyArg_ParseTuple(args, "OO:_audit_send", &filter_object, &webhook_object) ||
        !text_or_none(filter_object, "filter", &filter, &filter_len) ||
        !text_of(webhook_object, "webhook", &webhook, &webhook_len)) {
        return NULL;
    }
    int64_t last_id = 0;
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_audit_send(self->handle.pointer, filter, (size_t)filter_len, webhook,
                                            (size_t)webhook_len, &last_id, &error));
    return failed(status, &error) ? with_last_id(last_id) : PyLong_FromLongLong(last_id);
}

/* _audit_retain(days): returns the report. */
PyObject *audit_retain(store_object *self, PyObject *days_object) {
    long days = PyLong_AsLong(days_object);
    if (days == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (days < 0 || days > INT32_MAX) {
        return raise_status(ST_INVALID_ARGUMENT, "days must be between 0 and 2147483647");
    }
    st_bytes report = {0};
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_audit_retain(self->handle.pointer, (int32_t)days, &report, &error));
    return result_of(status, &error, &report, json_text);
}

/* _audit_verify(first, last): returns the report. */
PyObject *audit_verify(store_object *self, PyObject *args) {
    long long first, last;
    if (!PyArg_ParseTuple(args, "LL:_audit_verify", &first, &last)) {
        return NULL;
    }
    st_bytes report = {0};
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_audit_verify(self->handle.pointer, first, last, NULL, &report, &error));
    return result_of(status, &error, &report, json_text);
}
