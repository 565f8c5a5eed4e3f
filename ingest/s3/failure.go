package s3

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"clpipe/ingest/remote"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func finalf(format string, args ...any) *remote.Failure {
	return &remote.Failure{Kind: remote.Final, Why: fmt.Errorf(format, args...)}
}

// noCredentials is what to do when there are none or they are refused.
const noCredentials = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give --no-sign-request for a public bucket"

// failure says what an error of the SDK means. Its texts, which name addresses,
// are not passed on.
func (b *bucket) failure(err error) error {
	var (
		answer *smithyhttp.ResponseError
		api    smithy.APIError
		sent   *smithyhttp.RequestSendError
	)
	switch {
	case err == nil:
		return nil
	case service(err) != sdk.ServiceID:
		return &remote.Failure{Why: fmt.Errorf("the credentials could not be renewed: %w", err)} // newBucket had some
	case errors.As(err, &sent): // inside an answer of status 0
		return sent.Err
	case errors.As(err, &answer) && answer.HTTPStatusCode() < 300:
		return errors.New("the answer was cut")
	case errors.As(err, &answer):
		code := ""
		if errors.As(err, &api) {
			code = api.ErrorCode()
		}
		return b.refusal(answer.HTTPStatusCode(), code, api, answer.Response.Header)
	}
	return err
}

// service is whose answer an error is: S3's, or that of whoever was asked for
// credentials on the way.
func service(err error) (id string) {
	for op := (*smithy.OperationError)(nil); errors.As(err, &op); err = op.Err {
		id = op.ServiceID
	}
	return id
}

// refusal says what an answer with an error means.
func (b *bucket) refusal(status int, code string, api smithy.APIError, header http.Header) error {
	f := &remote.Failure{Kind: remote.Final, RetryAfter: remote.RetryAfter(header.Get("Retry-After"), time.Now())}
	text := fmt.Sprintf("%d %s", status, code)
	if api != nil && api.ErrorMessage() != "" {
		text = fmt.Sprintf("%s: %.300s", text, api.ErrorMessage())
	}
	text = strings.TrimSpace(text)
	f.Why = errors.New(text)
	region := header.Get("X-Amz-Bucket-Region")
	switch {
	case code == "ExpiredToken", code == "ExpiredTokenException", code == "TokenRefreshRequired":
		f.Kind = remote.Passing // with new ones
		if cache, ok := b.creds.(*aws.CredentialsCache); ok {
			cache.Invalidate()
		}
	case code == "SlowDown", code == "ServiceUnavailable", strings.HasPrefix(code, "Throttl"), code == "RequestLimitExceeded",
		status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		f.Kind = remote.SlowDown
	case region != "" && b.moved(region):
		f.Kind = remote.Passing
	case status >= 500, status == http.StatusRequestTimeout, code == "RequestTimeout", code == "OperationAborted":
		f.Kind = remote.Passing
	case code == "InvalidObjectState":
		f.Why = fmt.Errorf("the object is archived and has to be restored first (%s)", text)
	case status == http.StatusProxyAuthRequired:
		return remote.ProxyRefusal()
	case status == http.StatusPreconditionFailed:
		f.Why = fmt.Errorf("the object has changed since it was listed (%s)", text)
	case status == http.StatusNotFound:
		f.Why = fmt.Errorf("%s: %w", text, fs.ErrNotExist)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		f.Why = fmt.Errorf("%w (%s): %s", fs.ErrPermission, text, noCredentials)
	}
	return f
}

// moved notes the bucket's region and tells whether that is news.
func (b *bucket) moved(region string) bool {
	old := b.region.Swap(&region)
	if old != nil {
		return *old != region
	}
	return region != b.client.Options().Region
}
