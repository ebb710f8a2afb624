"""What MLflow raises."""


class MlflowException(Exception):
    def __init__(self, text, status):
        super().__init__(text)
        self._status = status

    def get_http_status_code(self):
        return self._status
